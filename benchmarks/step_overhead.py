"""Step time with one cycle of rate and momentum installed, over the bare fit's.

A small dense model, fits of 400 steps that take turns, so that the machine's moods meet
all alike. Beside it a second bare model, which shows how far two equal things differ
here, and the naive callback, which assigns rate and momentum before each batch (the
latter to no effect).

Other work on the machine only ever adds time, so what counts is the lower quartile of
each way's times, over that of the bare fits; past 1.02 for one cycle it exits with 1. The
ratios turn by turn, median and quartiles, stand beside it.

    KERAS_BACKEND=jax python benchmarks/step_overhead.py
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_sched import schedule_hyperparameters, schedules

STEPS, BATCH, BUDGET = 400, 32, 1.02
X = np.random.default_rng(0).normal(size=(STEPS * BATCH, 32)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


class Naive(keras.callbacks.Callback):
    """What users write: assigns both from Python before each batch."""

    def on_train_begin(self, logs=None):
        self.rates = schedules.values(schedules.OneCycle(0.1, STEPS), STEPS)
        self.momenta = schedules.values(schedules.OneCycleMomentum(STEPS), STEPS)
        self.step = 0

    def on_train_batch_begin(self, batch, logs=None):
        optimizer = self.model.optimizer
        optimizer.learning_rate = self.rates[self.step]
        optimizer.momentum = float(self.momenta[self.step])
        self.step += 1


def make_model(width, depth):
    hidden = [keras.layers.Dense(width, "relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((32,)), *hidden, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def one_cycle(model):
    schedule_hyperparameters(
        model.optimizer,
        learning_rate=schedules.OneCycle(0.1, 10**5),
        momentum=schedules.OneCycleMomentum(10**5),
    )
    return []


WAYS = {
    "bare": lambda model: [],
    "bare too": lambda model: [],
    "one cycle": one_cycle,
    "naive": lambda model: [Naive()],
}


def microseconds_a_step(model, listed):
    begun = time.perf_counter()
    model.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=listed)
    return (time.perf_counter() - begun) / STEPS * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    arguments = parser.parse_args()
    models = {way: make_model(arguments.width, arguments.depth) for way in WAYS}
    listed = {way: prepare(models[way]) for way, prepare in WAYS.items()}
    taken, ratio = {way: [] for way in WAYS}, {}
    for turn in range(arguments.rounds + 1):
        for way in list(WAYS)[:: -1 if turn % 2 else 1]:
            microseconds = microseconds_a_step(models[way], listed[way])
            if turn:  # The first compiles.
                taken[way].append(microseconds)
    bare = np.array([taken["bare"], taken["bare too"]])
    print(f"{keras.backend.backend()}, {arguments.rounds} turns of {STEPS} steps")
    for way, times in taken.items():
        quarter = np.quantile(times, 0.25)
        ratio[way] = quarter / np.quantile(bare, 0.25)
        low, middle, high = np.quantile(times / bare.mean(axis=0), [0.25, 0.5, 0.75])
        turns = f"turn by turn {middle:.3f} ({low:.3f} to {high:.3f})"
        print(f"{way:>10}: {quarter:5.0f} us a step, ratio {ratio[way]:.3f}; {turns}")
    sys.exit(bool(ratio["one cycle"] > BUDGET))


if __name__ == "__main__":
    main()

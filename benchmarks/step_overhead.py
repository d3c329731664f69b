"""Step time of `fit` with callbacks.OneCycle, over the bare fit's. Budget: 1.02.

A small dense model, 400 steps an epoch. Beside it the naive callback that assigns rate
and momentum before each batch (the latter to no effect). Bare and driven fits take turns;
the first epoch of each, which compiles, does not count. Prints the median of the
ratios of neighbouring fits with its quartiles, and exits with 1 past the budget.

    KERAS_BACKEND=jax python benchmarks/step_overhead.py
"""

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_sched import callbacks, schedules

STEPS, BATCH, EPOCHS, BUDGET = 400, 32, 6, 1.02
X = np.random.default_rng(0).normal(size=(STEPS * BATCH, 32)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


class Naive(keras.callbacks.Callback):
    """What users write: assigns both from Python before each batch."""

    def on_train_begin(self, logs=None):
        steps = STEPS * EPOCHS
        self.rates = schedules.values(schedules.OneCycle(0.1, steps), steps)
        self.momenta = schedules.values(schedules.OneCycleMomentum(steps), steps)
        self.step = 0

    def on_train_batch_begin(self, batch, logs=None):
        optimizer = self.model.optimizer
        optimizer.learning_rate = self.rates[self.step]
        optimizer.momentum = float(self.momenta[self.step])
        self.step += 1


class EpochTimes(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.times = []

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.times.append(time.perf_counter() - self.begun)


def make_model(width, depth):
    hidden = [keras.layers.Dense(width, "relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((32,)), *hidden, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def microseconds_a_step(model, *listed):
    times = EpochTimes()
    fit = dict(batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    model.fit(X, Y, callbacks=[times, *listed], **fit)
    return statistics.median(times.times[1:]) / STEPS * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    arguments = parser.parse_args()
    ways = {
        "bare": list,
        "one cycle": lambda: [callbacks.OneCycle(0.1)],
        "naive": lambda: [Naive()],
    }
    models = {way: make_model(arguments.width, arguments.depth) for way in ways}
    taken = {way: [] for way in ways}
    for turn in range(arguments.rounds + 1):
        for way, listed in ways.items():
            microseconds = microseconds_a_step(models[way], *listed())
            if turn:
                taken[way].append(microseconds)
    print(f"{keras.backend.backend()}, {arguments.rounds} rounds, median (quartiles)")
    for way, times in taken.items():
        ratios = [time / bare for time, bare in zip(times, taken["bare"])]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        step = statistics.median(times)
        print(f"{way:>10}: {step:6.0f} us a step, {ratio:.3f} ({low:.3f} to {high:.3f})")
        if way == "one cycle":
            over = ratio > BUDGET
    sys.exit(over)


if __name__ == "__main__":
    main()

"""Step time with each callback and each schedule at work, over the bare fit's.

One long fit each, all at once in threads that take turns: an epoch of 400 steps of the
one, then of the next, so that the machine's moods meet all alike. Beside them a second
bare fit, which shows how far two equal things differ here, and the naive callback, which
assigns rate and momentum before each batch (the latter to no effect).

Other work on the machine only ever adds time, so what counts is the lower quartile of
each one's epochs, over that of the bare fits; past 1.02 it exits with 1, but for gradient
noise, which has to be drawn, and for the naive callback. The ratios turn by turn, median
and quartiles, stand beside it, and what each epoch costs once, for its line in the logs.

    KERAS_BACKEND=jax python benchmarks/step_overhead.py
    KERAS_BACKEND=jax python benchmarks/step_overhead.py --depth 20
"""

import argparse
import os
import sys
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_sched import callbacks, schedules

STEPS, BATCH, BUDGET = 400, 32, 1.02
X = np.random.default_rng(0).normal(size=(STEPS * BATCH, 32)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
LONG = 10**5
SCHEDULES = [
    f"OneCycle(0.1, {LONG})",
    f"OneCycle(0.1, {LONG}, three_phase=True)",
    f"OneCycle(0.1, {10 * LONG})",
    "StepDecay(0.1, drop_factor=0.5, drop_steps=250)",
    "MultiStepDecay(0.1, [300, 600, 800])",
    "TimeBasedDecay(0.1, decay_rate=0.01)",
    f"LinearDecay(0.1, {LONG})",
    f"CosineAnnealing(0.1, {LONG}, cycles=5)",
    "CosineRestarts(0.1, 140)",
    "InverseSqrtDecay(0.1, 100)",
    "Triangular(0.01, 0.1, 125)",
    "WarmupStableDecay(0.1, 100, 700, 200)",
    f"Warmup(CosineAnnealing(0.1, {LONG}), 100)",
    "Join([Warmup(0.1, 100), LinearDecay(0.05, 500)], [500])",
    f"Scaled(CosineAnnealing(0.1, {LONG}), 0.5)",
    f"Slowed(CosineAnnealing(0.1, {LONG}), 10)",
    "Piecewise([(0, 0.0), (200, 0.1), (600, 0.02), (1000, 0.0)])",
]
FREE = ("naive", "GradientNoise")  # Of the budget.


class Naive(keras.callbacks.Callback):
    """What users write: assigns both from Python before each batch."""

    def on_train_begin(self, logs=None):
        self.rates = schedules.values(schedules.OneCycle(0.1, STEPS), STEPS)
        self.momenta = schedules.values(schedules.OneCycleMomentum(STEPS), STEPS)

    def on_train_batch_begin(self, batch, logs=None):
        optimizer = self.model.optimizer
        optimizer.learning_rate = self.rates[batch]
        optimizer.momentum = float(self.momenta[batch])


def scheduled(text):
    rate = schedules.parse(text)
    return lambda: [callbacks.HyperparameterScheduler(learning_rate=rate)]


WAYS = {
    "bare": list,
    "bare too": list,
    "naive": lambda: [Naive()],
    "OneCycle": lambda: [callbacks.OneCycle(0.1, total_steps=LONG)],
    "StepDecay": lambda: [callbacks.StepDecay()],
    "TimeBasedDecay": lambda: [callbacks.TimeBasedDecay()],
    "PlateauScaling": lambda: [callbacks.PlateauScaling("loss", 0.9, 1, verbose=0)],
    "OneCycle and PlateauScaling": lambda: [
        callbacks.OneCycle(0.1, total_steps=LONG),
        callbacks.PlateauScaling("loss", 0.9, 1, verbose=0),
    ],
    "with momentum_correction": lambda: [callbacks.StepDecay(momentum_correction=True)],
    "GradientNoise": lambda: [callbacks.GradientNoise()],
} | {text: scheduled(text) for text in SCHEDULES}


class Turns:
    """Lets one of several threads go on at a time, in an order that is given."""

    def __init__(self, order):
        self.order, self.changed = list(order), threading.Condition()

    def wait(self, name):
        with self.changed:
            self.changed.wait_for(lambda: self.order[0] == name)

    def done(self):
        with self.changed:
            self.order.pop(0)
            self.changed.notify_all()


class First(keras.callbacks.Callback):
    """Before all other callbacks: waits for the turn, and stops the time of the steps."""

    def __init__(self, name, turns):
        super().__init__()
        self.name, self.turns = name, turns
        self.began, self.ended = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.turns.wait(self.name)
        self.began.append(time.perf_counter())

    def on_epoch_end(self, epoch, logs=None):
        self.ended.append(time.perf_counter())


class Last(keras.callbacks.Callback):
    """After all other callbacks: takes the time of the steps, and gives the turn on."""

    def __init__(self, turns):
        super().__init__()
        self.turns, self.began, self.ended = turns, [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.began.append(time.perf_counter())

    def on_epoch_end(self, epoch, logs=None):
        self.ended.append(time.perf_counter())
        self.turns.done()


def make_model(width, depth):
    hidden = [keras.layers.Dense(width, "relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((32,)), *hidden, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def measure(ways, turns, width, depth):
    """Returns, for each way and turn, microseconds a step and milliseconds an epoch."""
    order = [n for turn in range(turns + 1) for n in list(ways)[:: -1 if turn % 2 else 1]]
    shared, found = Turns(order), {}

    def train(name):
        first, last = First(name, shared), Last(shared)
        listed = [first, *ways[name](), last]
        fit = dict(batch_size=BATCH, shuffle=False, verbose=0, epochs=turns + 1)
        make_model(width, depth).fit(X, Y, callbacks=listed, **fit)
        times = (first.began, last.began, first.ended, last.ended)
        begin, start, stop, end = np.array(times)[:, 1:]  # The first epoch compiles.
        found[name] = (stop - start) / STEPS * 1e6, (start - begin + end - stop) * 1e3

    threads = [threading.Thread(target=train, args=(name,)) for name in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--only", help="measure the ways with this in their name")
    given = parser.parse_args()
    ways = {
        name: make
        for name, make in WAYS.items()
        if not given.only or given.only in name or name.startswith("bare")
    }
    found = measure(ways, given.turns, given.width, given.depth)
    bare = np.array([found["bare"][0], found["bare too"][0]])
    quarter, past = np.quantile(bare, 0.25), []
    layers = f"{given.depth} hidden layers of {given.width}"
    print(f"{keras.backend.backend()}, {layers}, {given.turns} turns of {STEPS} steps")
    for name, (steps, epochs) in found.items():
        ratio = np.quantile(steps, 0.25) / quarter
        low, middle, high = np.quantile(steps / bare.mean(axis=0), [0.25, 0.5, 0.75])
        took = f"{np.quantile(steps, 0.25):5.0f} us a step, ratio {ratio:.3f}"
        turn_by_turn = f"turn by turn {middle:.3f} ({low:.3f} to {high:.3f})"
        print(f"{took}; {turn_by_turn}; {np.median(epochs):4.1f} ms an epoch; {name}")
        if ratio > BUDGET and name not in FREE:
            past.append(name)
    sys.exit(f"past {BUDGET}: {', '.join(past)}" if past else 0)


if __name__ == "__main__":
    main()

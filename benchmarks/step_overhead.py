"""Step time with each callback and each schedule at work, over the bare fit's.

One long fit each, all at once in threads that take turns: an epoch of 400 steps of the
bare one, of the next, of the bare one again, so that the machine's moods meet both alike;
a ratio is an epoch's time over the mean of the two bare ones around it. Beside them a
second bare fit, which shows how far two equal things differ here, and the naive callback,
which assigns rate and momentum before each batch (the latter to no effect).

It prints the median of the ratios and where that lies with a confidence of 95 %, and
exits with 1 where all of that is past 1.02; but not for gradient noise, which has to be
drawn, and for the naive callback. Beside it stands what each epoch costs once, for its
line in the logs.

    KERAS_BACKEND=jax python benchmarks/step_overhead.py
    KERAS_BACKEND=jax python benchmarks/step_overhead.py --depth 20
"""

import argparse
import math
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
    """Returns who had each turn, and its seconds: of the steps, and of what is beside."""
    order = ["bare"]
    for turn in range(turns + 1):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            order += [name, "bare"]
    shared, found = Turns(order), {}

    def train(name):
        first, last = First(name, shared), Last(shared)
        listed = [first, *ways.get(name, list)(), last]
        epochs = order.count(name)
        fit = dict(batch_size=BATCH, shuffle=False, verbose=0, epochs=epochs)
        make_model(width, depth).fit(X, Y, callbacks=listed, **fit)
        begin, start = np.array([first.began, last.began])
        stop, end = np.array([first.ended, last.ended])
        found[name] = list(zip(stop - start, start - begin + end - stop))

    threads = [threading.Thread(target=train, args=(name,)) for name in ("bare", *ways)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return order, np.array([found[name].pop(0) for name in order])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--only", default="", help="measure what has this in its name")
    given = parser.parse_args()
    ways = {name: make for name, make in WAYS.items() if given.only in name}
    ways = {"bare too": list} | ways
    order, times = measure(ways, given.turns, given.width, given.depth)
    layers = f"{given.depth} hidden layers of {given.width}"
    print(f"{keras.backend.backend()}, {layers}, {given.turns} turns of {STEPS} steps")
    past = []
    for name in ways:
        at = np.flatnonzero(np.array(order) == name)[1:]  # The first compiles.
        steps, rest = times[at].T
        around = (times[at - 1, 0] + times[at + 1, 0]) / 2
        low, middle, high = interval(steps / around)
        took = f"{np.median(steps) / STEPS * 1e6:5.0f} us a step"
        ratio = f"ratio {middle:.3f} ({low:.3f} to {high:.3f})"
        print(f"{took}, {ratio}; {np.median(rest) * 1e3:4.1f} ms an epoch; {name}")
        if low > BUDGET and name not in FREE:
            past.append(name)
    sys.exit(f"past {BUDGET}: {', '.join(past)}" if past else 0)


def interval(ratios):
    """Returns the median, and around it where it lies with a confidence of 95 %."""
    ordered, count = np.sort(ratios), len(ratios)
    chance = np.cumsum([math.comb(count, k) for k in range(count)]) / 2.0**count
    below = max(int(np.searchsorted(chance, 0.025)) - 1, 0)
    return ordered[below], np.median(ordered), ordered[count - 1 - below]


if __name__ == "__main__":
    main()

"""Step time with each callback and each schedule at work, over the bare fit's.

Each beside a bare fit, the two taking turns in one thread: twenty batches of the one,
twenty of the other, so that the machine's moods meet both alike; a ratio is a turn's time
over the mean of the two bare ones around it. Among them a second bare fit, which shows
how far two equal things differ here, and the naive callback, which assigns rate and
momentum before each batch (the latter to no effect).

It prints the median of the ratios and where that lies with a confidence of 95 %, and
exits with 1 where all of that is past 1.02; past 1.06 with `PlateauScaling`, whose scale
is one more argument of the step on JAX. Gradient noise, which has to be drawn, and the
naive callback are free. Beside it stands what each epoch costs once, for its line in the
logs. It needs `greenlet`.

    KERAS_BACKEND=jax python benchmarks/step_overhead.py
    KERAS_BACKEND=jax python benchmarks/step_overhead.py --depth 20
"""

import math
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import greenlet
import keras
import numpy as np
from timing import arguments, interval

from keras_sched import callbacks, schedules

if keras.backend.backend() == "jax":
    import jax

STEPS, BATCH, BUDGET = 400, 32, 1.02
BUDGETS = {"PlateauScaling": 1.06, "GradientNoise": math.inf, "naive": math.inf}
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


class Turns(keras.callbacks.Callback):
    """Gives the turn away before each so many batches; takes the time of each turn.

    It has nothing to do at a batch's end: Keras then waits for none on JAX.
    """

    def __init__(self, batches, give):
        super().__init__()
        self.batches, self.give, self.times = batches, give, []
        self.began, self.epochs_ended = None, []

    def on_train_batch_begin(self, batch, logs=None):
        if batch % self.batches == 0:
            self.stop()
            self.give()
            self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.stop()
        self.epochs_ended.append(time.perf_counter())

    def stop(self):
        if self.began:
            if keras.backend.backend() == "jax":
                jax.block_until_ready(keras.tree.flatten(self._model._jax_state))
            self.times.append(time.perf_counter() - self.began)
        self.began = None


class Last(keras.callbacks.Callback):
    """After all other callbacks: notes when epochs end."""

    def __init__(self):
        super().__init__()
        self.epochs_ended = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs_ended.append(time.perf_counter())


def dense(width, depth):
    yield keras.Input((32,))
    for _ in range(depth):
        yield keras.layers.Dense(width, "relu")


def fitting(build, x, y):
    """Returns a function that trains a new model of the layers that `build` returns."""

    def fit(listed, epochs):
        given = dict(batch_size=BATCH, shuffle=False, verbose=0, epochs=epochs)
        compiled(build()).fit(x, y, callbacks=listed, **given)

    return fit


def compiled(layers):
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def measure(fit, way, rounds, batches):
    """Compares a fit with what a way gives it to do with the bare one.

    Args:
        fit: Trains for so many epochs of `STEPS` batches, with these callbacks.
        way: Returns callbacks.
        rounds: How many turns each has.
        batches: Of a turn.

    Returns:
        Seconds of the way's turns, of those around them, and of an epoch's end.
    """
    order = ["bare", "way"] * (rounds + 1) + ["bare"]
    times, beside, here = {}, {}, greenlet.getcurrent()

    def train(name):
        turns, last = Turns(batches, here.switch), Last()
        listed = [turns, *(way() if name == "way" else []), last]
        fit(listed, math.ceil(order.count(name) * batches / STEPS))
        times[name] = np.array(turns.times[: order.count(name)])
        beside[name] = np.median(np.subtract(last.epochs_ended, turns.epochs_ended))

    fits = {name: greenlet.greenlet(train) for name in ("bare", "way")}
    for name in fits:
        fits[name].switch(name)
    for name in order:
        fits[name].switch()
    for name in fits:
        while fits[name]:
            fits[name].switch()
    bare = times["bare"]
    around = (bare[1:-1] + bare[2:]) / 2
    return times["way"][1:], around, beside["way"]  # The first compiles.


def main():
    parser = arguments(__doc__, rounds=100)
    parser.add_argument("--batches", type=int, default=20, help="of each turn")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--only", default="", help="measure what has this in its name")
    given = parser.parse_args()
    layers = f"{given.depth} hidden layers of {given.width}"
    turns = f"{given.rounds} turns of {given.batches} steps"
    print(f"{keras.backend.backend()}, {layers}, {turns}")
    past, fit = [], fitting(lambda: dense(given.width, given.depth), X, Y)
    for name, way in ({"bare too": list} | WAYS).items():
        if given.only not in name and name != "bare too":
            continue
        times, around, beside = measure(fit, way, given.rounds, given.batches)
        low, middle, high = interval(times / around)
        took = f"{np.median(times) / given.batches * 1e6:5.0f} us a step"
        ratio = f"ratio {middle:.3f} ({low:.3f} to {high:.3f})"
        print(f"{took}, {ratio}; {beside * 1e3:4.1f} ms an epoch; {name}", flush=True)
        budget = max([BUDGET, *(BUDGETS[part] for part in BUDGETS if part in name)])
        if low > budget * given.slack:
            past.append(name)
    sys.exit(f"past the budget: {', '.join(past)}" if past else 0)


if __name__ == "__main__":
    main()

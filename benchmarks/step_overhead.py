"""Step time with one cycle installed, over the bare fit's. Budget: 1.02 (DESIGN 6)."""

import argparse, os, sys, time, statistics

ap = argparse.ArgumentParser()
ap.add_argument("--rounds", type=int, default=9)
a = ap.parse_args()
sys.path.insert(0, "/work/main")
import numpy as np, keras
from keras_sched import schedules
from keras_sched.hyperparameters import schedule_hyperparameters

x = np.random.default_rng(0).normal(size=(400 * 32, 32)).astype("float32")
y = (x[:, 0] > 0).astype("int32")


def build():
    m = keras.Sequential(
        [keras.Input((32,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(2)]
    )
    m.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return m


def bare():
    return build(), []


def sched():
    m = build()
    schedule_hyperparameters(
        m.optimizer,
        learning_rate=schedules.OneCycle(0.1, 4000),
        momentum=schedules.OneCycleMomentum(4000),
    )
    return m, []


class Naive(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.t = 0

    def on_train_batch_begin(self, b, logs=None):
        self.model.optimizer.learning_rate = 0.01 + self.t * 1e-6
        self.t += 1


def naive():
    return build(), [Naive()]


models = {f.__name__: f() for f in (bare, sched, naive)}


def once(name):
    m, cb = models[name]
    t = time.perf_counter()
    m.fit(x, y, batch_size=32, verbose=0, shuffle=False, callbacks=cb)
    return (time.perf_counter() - t) / 400 * 1e6


for n in models:
    once(n)
import collections

r = collections.defaultdict(list)
for _ in range(a.rounds):
    for n in models:
        r[n].append(once(n))
print(
    keras.backend.backend(),
    {n: round(statistics.median(v), 1) for n, v in r.items()},
    {
        n: round(statistics.median([p / q for p, q in zip(v, r["bare"])]), 3)
        for n, v in r.items()
    },
    {n: round(min(v) / min(r["bare"]), 3) for n, v in r.items()},
)

"""Time of `find_learning_rate` for each of 100 batches, over a plain fit's.

What 100 batches more cost: 150 less 50, so that what both do once, compiling above all,
falls out; it is printed by itself. Fits and sweeps take turns; the ratio is of the two of
one turn. Prints the median and its quartiles, and exits with 1 where the median is past
1.3.

    KERAS_BACKEND=jax python benchmarks/finder_cost.py
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_sched import find_learning_rate

BATCH, BUDGET, FEW, MANY = 32, 1.3, 50, 150
RNG = np.random.default_rng(0)
MODELS = {
    "dense": ((32,), lambda: [keras.layers.Dense(64, "relu")]),
    "convolutions": (
        (16, 16, 3),
        lambda: [
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ],
    ),
}


def seconds(function, *arguments, **more):
    begun = time.perf_counter()
    function(*arguments, **more)
    return time.perf_counter() - begun


def measure(shape, hidden, turns):
    """Returns seconds of 100 batches in fits, in sweeps, and of a sweep's beginning."""
    x = RNG.normal(size=(MANY * BATCH, *shape)).astype("float32")
    y = RNG.integers(0, 2, MANY * BATCH)
    model = keras.Sequential([keras.Input(shape), *hidden(), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)

    def fit(steps):
        rows = slice(steps * BATCH)
        return seconds(model.fit, x[rows], y[rows], batch_size=BATCH, verbose=0)

    def sweep(steps):
        flat = dict(max_learning_rate=1e-6, steps=steps, batch_size=BATCH, verbose=1)
        return seconds(find_learning_rate, model, x, y, **flat)

    fit(FEW), sweep(FEW)
    times = [(fit(FEW), sweep(FEW), fit(MANY), sweep(MANY)) for _ in range(turns)]
    fit_few, sweep_few, fit_many, sweep_many = np.array(times).T
    each = (sweep_many - sweep_few) / (MANY - FEW)
    once = np.median(sweep_few - FEW * each)
    return (fit_many - fit_few) / (MANY - FEW), each, once


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    turns, past = parser.parse_args().turns, []
    for name, (shape, hidden) in MODELS.items():
        fits, sweeps, once = measure(shape, hidden, turns)
        low, middle, high = np.quantile(sweeps / fits, [0.25, 0.5, 0.75])
        fit, sweep = np.median(fits) * 1e6, np.median(sweeps) * 1e6
        each = f"{fit:.0f} us a batch in fit, {sweep:.0f} in the finder"
        ratio = f"ratio {middle:.2f} ({low:.2f} to {high:.2f})"
        once = f"{once:.2f} s once"
        print(f"{keras.backend.backend()}, {name}: {each}, {ratio}; {once}", flush=True)
        past += [name] * int(middle > BUDGET)
    sys.exit(f"past {BUDGET}: {', '.join(past)}" if past else 0)


if __name__ == "__main__":
    main()

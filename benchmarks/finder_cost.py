"""Time of a batch in the finder, over that of the bare fit's.

The two take turns, as in `step_overhead.py`: twenty batches of one, twenty of the other.
Prints the median of the ratios, and where it lies with a confidence of 95 %; exits with
1 where all of that is past 1.3. Beside it stands what a sweep costs once, compiling above
all.

    KERAS_BACKEND=jax python benchmarks/finder_cost.py
"""

import contextlib
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from step_overhead import BATCH, STEPS, X, Y, compiled, dense, fitting, measure
from timing import arguments, interval

from keras_sched import find_learning_rate
from keras_sched.callbacks import LearningRateFinder
from keras_sched.learning_rate_finder import progress_bar

BUDGET = 1.3
LIMITS = dict(min_learning_rate=1e-7, max_learning_rate=1e-6)
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(STEPS * BATCH, 16, 16, 3)).astype("float32")
LABELS = RNG.integers(0, 2, STEPS * BATCH)


def convolutions():
    yield keras.Input((16, 16, 3))
    yield keras.layers.Conv2D(16, 3, activation="relu")
    yield keras.layers.Conv2D(32, 3, 2)
    yield keras.layers.GlobalAveragePooling2D()


def once():
    """Returns the seconds of a sweep of two batches on a model that has been trained."""
    model = compiled(convolutions())
    data = IMAGES[: 2 * BATCH], LABELS[: 2 * BATCH]
    model.fit(*data, batch_size=BATCH, verbose=0)
    begun = time.perf_counter()
    find_learning_rate(model, *data, steps=2, batch_size=BATCH, verbose=0)
    return time.perf_counter() - begun


def main():
    parser = arguments(__doc__, rounds=100)
    parser.add_argument("--batches", type=int, default=20, help="of each turn")
    given, past = parser.parse_args(), []
    many = (given.rounds + 2) * given.batches
    fits = {
        "dense": fitting(lambda: dense(64, 1), X, Y),
        "convolutions": fitting(convolutions, IMAGES, LABELS),
    }
    for name, fit in fits.items():
        with contextlib.redirect_stdout(sys.stderr), progress_bar() as add_bar:

            def way():
                finder = LearningRateFinder(steps=2 * many, **LIMITS)
                finder.tell = add_bar("learning rates", 2 * many)
                return [finder]

            times, around, _ = measure(fit, way, given.rounds, given.batches)
        low, middle, high = interval(times / around)
        each = np.median([around, times], axis=1) / given.batches * 1e6
        took = f"{each[0]:.0f} us a batch in fit, {each[1]:.0f} in the finder"
        ratio = f"ratio {middle:.2f} ({low:.2f} to {high:.2f})"
        print(f"{keras.backend.backend()}, {name}: {took}, {ratio}", flush=True)
        past += [name] * int(low > BUDGET * given.slack)
    print(f"a sweep of two batches, with convolutions: {once():.2f} s")
    sys.exit(f"past {BUDGET}: {', '.join(past)}" if past else 0)


if __name__ == "__main__":
    main()

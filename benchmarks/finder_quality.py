"""What training at the finder's suggestions costs, over training at the best rate.

For each task a grid of nine rates, half a decade apart, and each method's suggestion are
trained at as the maximal rate of one cycle, three times from other seeds, for which the
finder runs anew; where it has no suggestion, with `repeats=3`. Told is the mean loss on
held-out data, over the best mean of the grid. "steepest", the default, must stay within
10 % of it: the script exits with 1 where not.

Beside our methods stand, on the losses of the same sweeps, what others read from them:
the steepest fall after smoothing to one side (an exponential mean of 0.98, ten first and
five last points left out), and Lightning's, which takes the fall over the rate itself.

    KERAS_BACKEND=tensorflow python benchmarks/finder_quality.py --cifar10 cifar10.npz

The file has `x_train`, `y_train`, `x_test` and `y_test`; without it its task is left out.
"""

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import sklearn.datasets
from keras import layers

from keras_sched import callbacks, find_learning_rate

SEEDS, BUDGET = (0, 1, 2), 1.10


@dataclasses.dataclass
class Task:
    name: str
    data: Callable  # Returns x and y to train with, and x and y held out.
    build: Callable  # Returns the hidden layers.
    optimizer: Callable
    outputs: int
    loss: object
    lowest: float  # Of the grid.
    epochs: int
    batch_size: int

    def __post_init__(self):
        self.data = self.data()

    def model(self, seed):
        keras.utils.set_random_seed(seed)
        x = self.data[0]
        ends = keras.Input(x.shape[1:]), layers.Dense(self.outputs)
        model = keras.Sequential([ends[0], *self.build(), ends[1]])
        model.compile(self.optimizer(), self.loss)
        return model

    def loss_at(self, rate, seed):
        """Returns the loss on held-out data after one cycle at most at `rate`."""
        x, y, *held_out = self.data
        model = self.model(seed)
        fit = dict(batch_size=self.batch_size, epochs=self.epochs, verbose=0)
        model.fit(x, y, callbacks=[callbacks.OneCycle(rate)], **fit)
        loss = model.evaluate(*held_out, batch_size=self.batch_size, verbose=0)
        return loss if np.isfinite(loss) else np.inf

    def curve(self, seed):
        """Returns one sweep or, where there is no suggestion in it, three."""
        x, y, _, _ = self.data
        model, given = self.model(seed), dict(batch_size=self.batch_size, verbose=0)
        curve = find_learning_rate(model, x, y, **given)
        if curve.suggest() is not None:
            return curve
        print(f"    seed {seed}, {curve.reason}: three sweeps instead", flush=True)
        return find_learning_rate(model, x, y, repeats=3, **given)


def digits(shape):
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    return split(x.reshape(-1, *shape).astype("float32") / 16, y)


def diabetes():
    x, y = sklearn.datasets.load_diabetes(return_X_y=True)
    x, y = ((each - each.mean(0)) / each.std(0) for each in (x, y[:, None]))
    return split(x.astype("float32"), y.astype("float32"))


def split(x, y):
    order = np.random.default_rng(0).permutation(len(x))
    held_out, rest = np.split(order, [len(x) // 5])
    return x[rest], y[rest], x[held_out], y[held_out]


def cifar10(path, count=5000):
    with np.load(path) as file:
        x, y, *held_out = (file[f"{a}_{b}"] for b in ("train", "test") for a in "xy")
    pairs = [(x[:count], y[:count]), (held_out[0][:2000], held_out[1][:2000])]
    return [part for x, y in pairs for part in (x.astype("float32") / 255, y.ravel())]


def convolutions(*filters, norm=False):
    for place, width in enumerate(filters):
        yield layers.Conv2D(width, 3, 1 + (place > 0), "same", use_bias=not norm)
        if norm:
            yield layers.BatchNormalization(momentum=0.9)  # Few steps to follow.
        yield layers.ReLU()
    yield layers.GlobalAveragePooling2D()


def tasks(cifar10_file):
    cross = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    yield Task(
        "digits, dense, SGD", lambda: digits((64,)), dense, momentum, 10, cross,
        1e-3, 10, 32,
    )  # fmt: skip
    yield Task(
        "digits, convolutions, Adam", lambda: digits((8, 8, 1)),
        lambda: convolutions(32, 64), keras.optimizers.Adam, 10, cross,
        1e-4, 10, 32,
    )  # fmt: skip
    yield Task(
        "diabetes, dense, Adam", diabetes, dense, keras.optimizers.Adam, 1, "mse",
        1e-4, 20, 16,
    )  # fmt: skip
    if cifar10_file:
        yield Task(
            "5,000 of CIFAR-10, convolutions, SGD", lambda: cifar10(cifar10_file),
            lambda: convolutions(16, 32, 64, norm=True), momentum, 10, cross,
            1e-3, 4, 64,
        )  # fmt: skip


def dense():
    return [layers.Dense(128, "relu"), layers.Dense(128, "relu")]


def momentum():
    return keras.optimizers.SGD(momentum=0.9, nesterov=True)


def exponential_mean(losses, beta=0.98):
    mean, smoothed = 0.0, []
    for count, loss in enumerate(losses, 1):
        mean = beta * mean + (1 - beta) * loss
        smoothed.append(mean / (1 - beta**count))
    return np.array(smoothed)


def one_sided(curve):
    """Returns the rate of the steepest fall of an exponential mean."""
    inner = slice(10, -5)
    slopes = np.gradient(exponential_mean(curve.losses)[inner])
    return float(curve.learning_rates[inner][np.argmin(slopes)])


def lightning(curve):
    """Returns what Lightning's `suggestion` does (its tuner/lr_finder.py)."""
    inner = slice(10, -1)
    losses, rates = exponential_mean(curve.losses)[inner], curve.learning_rates[inner]
    rates, losses = rates[np.isfinite(losses)], losses[np.isfinite(losses)]
    return float(rates[np.argmin(np.gradient(losses, rates))])


def ours(method):
    return lambda curve: curve.suggest(method)


METHODS = {name: ours(name) for name in ("steepest", "valley", "slide", "minimum")}
METHODS |= {"one-sided": one_sided, "Lightning": lightning}


def measure(task):
    """Prints the task's grid and methods; returns the ratio of each method."""
    grid = task.lowest * 10 ** (np.arange(9) / 2)
    losses = [np.mean([task.loss_at(rate, seed) for seed in SEEDS]) for rate in grid]
    best = np.min(losses)
    told = ", ".join(f"{rate:.0e}: {loss / best:.2f}" for rate, loss in zip(grid, losses))
    print(f"\n{task.name}: best loss {best:.4f} at {grid[np.argmin(losses)]:.2g}")
    print(f"    grid: {told}")
    curves, ratios = [task.curve(seed) for seed in SEEDS], {}
    for name, method in METHODS.items():
        rates = [method(curve) for curve in curves]
        if None in rates:
            reasons = {curve.reason for curve in curves if method(curve) is None}
            print(f"    {name:<10} no suggestion: {'; '.join(map(str, reasons))}")
            ratios[name] = np.inf
            continue
        found = [task.loss_at(rate, seed) for rate, seed in zip(rates, SEEDS)]
        ratios[name] = np.mean(found) / best
        said = ", ".join(f"{rate:.1e}" for rate in rates)
        print(f"    {name:<10} {ratios[name]:.2f}  (rates {said})", flush=True)
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", help="file with the images")
    parser.add_argument("--only", default="", help="tasks with this in their name")
    given = parser.parse_args()
    begun, table = time.perf_counter(), {}
    for task in tasks(given.cifar10):
        if given.only in task.name:
            table[task.name] = measure(task)
    print(f"\n| loss over the grid's best | {' | '.join(METHODS)} |")
    print("|---" * (len(METHODS) + 1) + "|")
    for name, ratios in table.items():
        print(f"| {name} | {' | '.join(f'{ratio:.2f}' for ratio in ratios.values())} |")
    print(f"{keras.backend.backend()}, {time.perf_counter() - begun:.0f} s")
    past = [name for name, ratios in table.items() if ratios["steepest"] > BUDGET]
    sys.exit(f"steepest is past {BUDGET}: {', '.join(past)}" if past else 0)


if __name__ == "__main__":
    main()

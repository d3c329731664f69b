"""Time of a checkpoint with all its state, over that of a plain `model.save`.

The two take turns after each epoch of one `fit`: what `CheckpointEarlyStopping` does when
an epoch ends, flushing and verifying included, and `model.save` to a file of the same
folder, which does neither. Half of the epochs are the best so far, so that `best.keras`
is written too. Prints the median of the ratios, and where it lies with a confidence of
95 %; exits with 1 where all of that is past 1.15. The model has as many weights as a
small ResNet, and Adam, whose slots are twice that.

    python benchmarks/checkpoint_cost.py
"""

import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from timing import arguments, interval

from keras_sched.callbacks import CheckpointEarlyStopping

BUDGET = 1.15


class Timed(CheckpointEarlyStopping):
    def on_epoch_end(self, epoch, logs=None):
        logs["loss"] = -epoch if epoch % 2 else 0.0
        begun = time.perf_counter()
        super().on_epoch_end(epoch, logs)
        self.times.append(time.perf_counter() - begun)


class Plain(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path, self.times = path, []

    def on_epoch_end(self, epoch, logs=None):
        begun = time.perf_counter()
        self.model.save(self.path)
        self.times.append(time.perf_counter() - begun)


def build_model(width):
    model = keras.Sequential([keras.Input((width,))])
    for _ in range(5):
        model.add(keras.layers.Dense(width, "relu"))
        model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.Adam(1e-6), "mse")
    return model


def main():
    parser = arguments(__doc__, rounds=40)
    parser.add_argument("--width", type=int, default=1000, help="of the dense layers")
    parser.add_argument("--directory", help="on the disk to measure; else a temporary")
    given = parser.parse_args()
    model = build_model(given.width)
    x = np.random.default_rng(0).normal(size=(8, given.width)).astype("float32")
    with tempfile.TemporaryDirectory(dir=given.directory) as folder:
        plain = Plain(pathlib.Path(folder) / "plain.keras")
        ours = Timed(pathlib.Path(folder) / "run", monitor="loss", verbose=0)
        ours.times = []
        rounds = given.rounds + 2  # The first two are left out.
        model.fit(x, x[:, :1], epochs=rounds, verbose=0, callbacks=[plain, ours])
        size = plain.path.stat().st_size
    times = np.array([ours.times, plain.times])[:, 2:]
    low, middle, high = interval(times[0] / times[1])
    each = np.median(times, axis=1) * 1e3
    took = f"{each[0]:.0f} ms, model.save {each[1]:.0f} ms"
    print(f"{size / 1e6:.0f} MB: {took}, ratio {middle:.2f} ({low:.2f} to {high:.2f})")
    best, others = (np.median(times[0, k::2] / times[1, k::2]) for k in (1, 0))
    print(f"the best so far {best:.2f}, others {others:.2f}")
    sys.exit(f"past {BUDGET}" if low > BUDGET * given.slack else 0)


if __name__ == "__main__":
    main()

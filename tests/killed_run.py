"""A training script as a user has it: `killed_run.py FOLDER [HOW] [WHERE]`.

HOW is JSON: arguments of the callback, and "cycle", the arguments of `OneCycle`. With
WHERE the process ends by SIGKILL: "epoch-2-1" in epoch 2 before its step 1, "test-2" in
the validation of epoch 2, "rename-N" at the N-th rename of a file; "term-2-1" and
"termtest-2" send SIGTERM there instead. Without, it runs to its end and stores the
weights and the history.
"""

import json
import os
import pathlib
import signal
import sys

import keras
import numpy as np

from keras_sched import callbacks, layers, tfrecord


class EndAt(keras.callbacks.Callback):
    """Ends the process at a place in the run."""

    def __init__(self, what, *place):
        super().__init__()
        self.what, self.place, self.epoch = what, [int(number) for number in place], None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.what in ("epoch", "term") and [self.epoch, batch] == self.place:
            self.end()

    def on_test_batch_begin(self, batch, logs=None):
        if "test" in self.what and [self.epoch] == self.place:
            self.end()

    def end(self):
        number = signal.SIGTERM if self.what.startswith("term") else signal.SIGKILL
        os.kill(os.getpid(), number)


def die_at_rename(number, replace=os.replace):
    calls = iter(range(1, 10**6))

    def count(*names):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*names)

    os.replace = count


def main(folder, how="{}", where=""):
    how = json.loads(how)
    images = np.random.default_rng(0).integers(0, 255, (96, 6, 6, 1), "uint8")
    labels = (images.mean((1, 2, 3)) > 127).astype("int64")
    records = folder / "records"
    tfrecord.convert((images, labels), records, overwrite=True, progress=False)
    what, *place = where.split("-")
    if what == "rename":
        die_at_rename(int(*place))
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Rescaling(1 / 255),
            layers.Cutout(2, seed=1),
            layers.AdditiveGaussianNoise((0.0, 0.1), seed=2),
            layers.MixUpOrCutMix(1.0, seed=3),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, **how.pop("optimizer", {}))
    model.compile(optimizer, loss, metrics=["accuracy"])
    cycle = how.pop("cycle", {})
    averaging = how.pop("averaging", None)
    how = dict(monitor="loss", restore_best=False) | how
    checkpoint = callbacks.CheckpointEarlyStopping(folder / "checkpoints", **how)
    batches = dict(batch_size=16, shuffle=True, seed=3)
    history = model.fit(
        tfrecord.load(records, **batches, epoch=checkpoint.initial_epoch()),
        validation_data=tfrecord.load(records, batch_size=48),
        epochs=5,
        shuffle=False,
        verbose=0,
        callbacks=[
            callbacks.LabelMixing(),
            callbacks.OneCycle(0.2, **cycle),
            callbacks.GradientNoise(0.01),
            checkpoint,
            callbacks.PlateauScaling("loss", 0.5, patience=1, min_delta=0.1),
        ]
        + ([callbacks.WeightAveraging(**averaging)] if averaging else [])
        + ([EndAt(what, *place)] if place else []),
    )
    held = model.variables + model.optimizer.variables
    arrays = [keras.ops.convert_to_numpy(variable) for variable in held]
    np.savez(folder / "end.npz", *arrays, *history.history.values())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])

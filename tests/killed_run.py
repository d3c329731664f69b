"""A training script as a user has it: `killed_run.py FOLDER [WHERE]`.

With WHERE it kills itself, by SIGKILL, in the middle of epoch 2 ("epoch") or at the
N-th rename of a file ("rename-N"). Without, it runs to the end and stores the weights.
"""

import os
import pathlib
import signal
import sys

import keras
import numpy as np

from keras_sched import callbacks, layers, tfrecord


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


class DieInEpochTwo(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 1):
            die()


def die_at_rename(number, replace=os.replace):
    calls = iter(range(1, 10**6))
    os.replace = lambda *names: die() if next(calls) == number else replace(*names)


def main(folder, where):
    images = np.random.default_rng(0).integers(0, 255, (96, 6, 6, 1), "uint8")
    labels = (images.mean((1, 2, 3)) > 127).astype("int64")
    records = folder / "records"
    tfrecord.convert((images, labels), records, overwrite=True)
    if where.startswith("rename"):
        die_at_rename(int(where.split("-")[1]))
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
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    checkpoint = callbacks.CheckpointEarlyStopping(
        folder / "checkpoints", monitor="loss", restore_best=False
    )
    first = checkpoint.initial_epoch()
    batches = dict(batch_size=16, shuffle=True, seed=3)
    history = model.fit(
        tfrecord.load(records, **batches, epoch=first),
        validation_data=tfrecord.load(records, batch_size=96),
        epochs=5,
        verbose=0,
        callbacks=[
            callbacks.LabelMixing(),
            callbacks.OneCycle(0.2),
            callbacks.GradientNoise(0.01),
            checkpoint,
            callbacks.PlateauScaling("loss", 0.5, patience=1, min_delta=0.1),
        ]
        + [DieInEpochTwo()] * (where == "epoch"),
    )
    held = model.variables + model.optimizer.variables
    arrays = [keras.ops.convert_to_numpy(variable) for variable in held]
    np.savez(folder / "end.npz", *arrays, *history.history.values())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), "".join(sys.argv[2:]))

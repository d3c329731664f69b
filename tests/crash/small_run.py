"""A small training run, as a user's script has it.

Run again, it goes on from what its folder holds, in one of the `WAYS`.
"""

import hashlib

import keras
import numpy as np

from keras_sched import callbacks

BATCHES, BATCH = 2, 8
X = np.random.default_rng(0).normal(size=(BATCHES * BATCH, 3)).astype("float32")
Y = X @ np.array([[1.0], [2.0], [-1.0]], "float32")


def new_model():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, "relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse", run_eagerly=True)
    return model


def ours(folder):
    kept = callbacks.CheckpointEarlyStopping(folder, monitor="loss", verbose=0)
    return new_model(), 0, [kept]


def model_checkpoint(folder):
    last, best = folder / "last.keras", folder / "best.keras"
    model = keras.saving.load_model(last) if last.exists() else new_model()
    kept = [
        keras.callbacks.ModelCheckpoint(best, monitor="loss", save_best_only=True),
        keras.callbacks.ModelCheckpoint(last),
    ]
    return model, int(model.optimizer.iterations) // BATCHES, kept


def backup_and_restore(folder, **arguments):
    return new_model(), 0, [keras.callbacks.BackupAndRestore(folder, **arguments)]


def two_backups(folder):
    return backup_and_restore(folder, double_checkpoint=True)


WAYS = {
    "ours": ours,
    "ModelCheckpoint": model_checkpoint,
    "BackupAndRestore": backup_and_restore,
    "BackupAndRestore(double_checkpoint=True)": two_backups,
}


EXACT = {"ours"}  # Who promises that a resumed run ends as if it had not been stopped.


def train(way, folder, epochs, *watchers):
    """Trains to the end; returns the first epoch it trained and a digest of its end."""
    keras.utils.set_random_seed(0)
    model, done, kept = WAYS[way](folder)
    begun = Began(epochs)
    history = model.fit(
        X,
        Y,
        batch_size=BATCH,
        shuffle=False,
        initial_epoch=done,
        epochs=epochs,
        callbacks=[begun, *kept, *watchers],
        verbose=0,
    )
    held = model.variables + model.optimizer.variables
    parts = [keras.ops.convert_to_numpy(variable).tobytes() for variable in held]
    if way in EXACT:
        parts.append(str(history.history).encode())
    return begun.epoch, hashlib.sha256(b"".join(parts)).hexdigest()


class Began(keras.callbacks.Callback):
    """Keeps which epoch was trained first, or else that after the last."""

    def __init__(self, epochs):
        super().__init__()
        self.epoch = self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = min(self.epoch, epoch)

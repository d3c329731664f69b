"""One model on several devices: the same recipe, the same weights.

On TensorFlow `MirroredStrategy`, on JAX `keras.distribution.DataParallel`: each device
has a copy of the model and its part of every batch. Digits of scikit-learn, one cycle of
rate and momentum, and a checkpoint, first on one device, then on all there are, or on two
logical parts of the processor. Prints by how much the weights differ.

    python examples/many_devices.py
    KERAS_BACKEND=jax python examples/many_devices.py
"""

import argparse
import os
import pathlib
import shutil
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from sklearn.datasets import load_digits

from keras_sched import callbacks, tfrecord

BATCH = 50


def devices():
    """Returns the accelerators, or two parts of the processor."""
    if keras.backend.backend() == "jax":
        return keras.distribution.list_devices()
    found = tf.config.list_physical_devices("GPU")
    if len(found) > 1:
        return [f"GPU:{number}" for number in range(len(found))]
    (cpu,) = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, parts)
    return ["CPU:0", "CPU:1"]


def scope(devices):
    """Returns what to build and train a model in, so that it is on these devices."""
    if keras.backend.backend() == "jax":
        return keras.distribution.DataParallel(devices=devices).scope()
    return tf.distribute.MirroredStrategy(devices).scope()


def train(records, folder, epochs):
    """Returns all weights after training."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((64,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(momentum=0.9)
    model.compile(optimizer, loss, metrics=["accuracy"])
    checkpoint = callbacks.CheckpointEarlyStopping(folder, monitor="loss", verbose=0)
    data = tfrecord.load(
        records,
        batch_size=BATCH,
        shuffle=True,
        seed=0,
        epoch=checkpoint.initial_epoch(),
        drop_remainder=True,
    )
    recipe = [callbacks.OneCycle(0.2), checkpoint]
    begun = time.perf_counter()
    how = dict(epochs=epochs, verbose=0, shuffle=False)
    history = model.fit(data, callbacks=recipe, **how).history
    took = time.perf_counter() - begun
    print(f"   accuracy {history['accuracy'][-1]:.2%}, {took:.1f} s", flush=True)
    return [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=pathlib.Path, default="many_devices_run")
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    found, folder = devices(), given.directory
    shutil.rmtree(folder, ignore_errors=True)
    records = folder / "records"
    tfrecord.convert((x.astype("float32") / 16, y), records, progress=False)
    ends = []
    for used in found[:1], found:
        print(f"devices: {', '.join(used)}", flush=True)
        with scope(used):
            ends.append(train(records, folder / str(len(used)), given.epochs))
    apart = max(np.abs(one - other).max() for one, other in zip(*ends))
    print(f"the weights differ by {apart:.1e} at most")


if __name__ == "__main__":
    main()

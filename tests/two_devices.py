"""Callbacks on two devices, beside NumPy: a process of its own, as devices come first.

MirroredStrategy with two logical CPUs on TensorFlow, DataParallel with two of the host's
devices on JAX. Prints how many there are and the largest difference of a weight.
"""

import contextlib

import keras
import numpy as np
import tensorflow as tf
from reference import BATCH, STEPS, X, Y, as_numpy, drawn, make_model, sgd

from keras_sched import callbacks, schedules


def two_devices():
    if keras.backend.backend() == "jax":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        return contextlib.nullcontext(), len(keras.distribution.list_devices())
    (cpu,) = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, logical)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return strategy.scope(), strategy.num_replicas_in_sync


def main():
    scope, count = two_devices()
    driven = {
        "learning_rate": schedules.values(schedules.OneCycle(0.05, STEPS), STEPS),
        "momentum": schedules.values(schedules.OneCycleMomentum(STEPS), STEPS),
        "weight_decay": np.zeros(STEPS),
    }
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    with scope:
        model = make_model()
        start = as_numpy(model.variables[0]).astype("float64")
        listed = [
            callbacks.OneCycle(0.05),
            callbacks.GradientNoise(0.25, gamma=0.0, seed=3),
            callbacks.PlateauScaling("loss", 0.5, 1, min_delta=1e9, verbose=0),
        ]
        length = dict(epochs=4, steps_per_epoch=STEPS // 4)
        model.fit(data, callbacks=listed, verbose=0, **length)
        got = model.get_weights()[0]
    driven["learning_rate"] *= np.repeat([1, 1, 0.5, 0.25], STEPS // 4)
    noise = [0.5 * drawn(step, seed=3) for step in range(STEPS)]
    expected = sgd(start, lambda name, step: float(driven[name][step]), noise=noise)
    print(count, "devices, largest difference", np.abs(got - expected).max())


if __name__ == "__main__":
    main()

"""One cycle on two devices, beside NumPy: a process of its own, as devices come first.

MirroredStrategy with two logical CPUs on TensorFlow, DataParallel with two of the host's
devices on JAX. Prints how many there are and the largest difference of a weight.
"""

import contextlib

import keras
import numpy as np
from reference import STEPS, as_numpy, make_model, sgd, train

from keras_sched import callbacks, schedules


def two_devices():
    if keras.backend.backend() == "jax":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        return contextlib.nullcontext(), len(keras.distribution.list_devices())
    import tensorflow as tf

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
    with scope:
        model = make_model()
        start = as_numpy(model.variables[0]).astype("float64")
        got = train(model, callbacks=[callbacks.OneCycle(0.05)])
    expected = sgd(start, lambda name, step: float(driven[name][step]))
    print(count, "devices, largest difference", np.abs(got - expected).max())


if __name__ == "__main__":
    main()

"""Callbacks and finder on two devices, beside NumPy, in a process for them alone.

MirroredStrategy with two logical CPUs on TensorFlow, DataParallel with two of the host's
devices on JAX. Prints how many there are, the largest difference of a weight, that of a
loss the finder saw, by how much the finder changed any array, what part of the noise of a
layer the devices have in common, by how much labels differ from their mixed images, and
how much of an image was its largest part.
"""

import contextlib

import keras
import numpy as np
import tensorflow as tf
from reference import (
    BATCH,
    STEPS,
    X,
    Y,
    arrays,
    as_numpy,
    drawn,
    gradients,
    make_model,
    sgd,
)

from keras_sched import callbacks, find_learning_rate, layers, schedules


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
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    with scope:
        found = [drive(data), *find(data), draw_alike(), *mix()]
    print(count, "devices", *found)


def draw_alike():
    """Returns what part of the noise the devices have in common."""
    noise = layers.AdditiveGaussianNoise(1.0, seed=1)
    zeros = np.zeros((8, 9), "float32")
    if keras.backend.backend() == "jax":  # All draw their parts of one batch.
        drawn = np.split(as_numpy(noise.augment(zeros)), 2)
    else:
        strategy = tf.distribute.get_strategy()
        both = strategy.run(lambda: noise(tf.constant(zeros), training=True))
        drawn = [as_numpy(one) for one in strategy.experimental_local_results(both)]
    return np.mean(drawn[0] == drawn[1])


def mix():
    """Returns how far labels are from their images, and the mean largest share of one.

    Each image has a channel of its own, and its label is what the net makes of that.
    """
    images = np.ones((8, 6, 6, 1), "float32") * np.eye(8, dtype="float32")[:, None, None]
    labels = np.arange(1.0, 9, dtype="float32")
    inputs = keras.Input(images.shape[1:])
    mixed = layers.MixUpOrCutMix(1.0, seed=1)(inputs)
    shares = keras.layers.GlobalAveragePooling2D()(mixed)
    head = keras.layers.Dense(1, use_bias=False, name="label")
    largest = keras.layers.GlobalMaxPooling1D(name="largest")
    column = keras.layers.Reshape((8, 1))(shares)
    model = keras.Model(inputs, {"label": head(shares), "largest": largest(column)})
    head.kernel.assign(labels[:, None])
    model.compile(keras.optimizers.SGD(0.0), {"label": "mae", "largest": "mae"})
    targets = {"label": labels, "largest": np.zeros(8, "float32")}
    data = tf.data.Dataset.from_tensors((images, targets)).repeat(4)
    logs = model.fit(data, callbacks=[callbacks.LabelMixing()], verbose=0).history
    return logs["label_loss"][0], logs["largest_loss"][0]


def drive(data):
    """Returns the largest difference of a weight that three callbacks have driven."""
    driven = {
        "learning_rate": schedules.values(schedules.OneCycle(0.05, STEPS), STEPS),
        "momentum": schedules.values(schedules.OneCycleMomentum(STEPS), STEPS),
        "weight_decay": np.zeros(STEPS),
    }
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
    return np.abs(got - expected).max()


def find(data):
    """Returns the largest difference of a loss, and what a sweep has changed."""
    model = make_model(built={"learning_rate": 0.02})
    model.fit(data, verbose=0)
    before = [array.copy() for array in arrays(model)]
    limits = dict(min_learning_rate=1e-3, max_learning_rate=0.1, steps=STEPS)
    curve = find_learning_rate(model, data, verbose=0, **limits)
    weights, expected = before[0].astype("float64"), []
    for step, rate in enumerate(np.geomspace(1e-3, 0.1, STEPS)):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        expected.append(np.mean((X[rows] @ weights - Y[rows]) ** 2))
        weights = weights - rate * gradients(weights, step)
    changed = max(np.abs(a - b).max() for a, b in zip(arrays(model), before))
    return np.abs(curve.losses - expected).max(), changed


if __name__ == "__main__":
    main()

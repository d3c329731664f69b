"""What a layer draws from, and the amounts that may be drawn, fixed or scheduled."""

import zlib

import keras
import numpy as np

from keras_sched import _draws
from keras_sched import _ops as ops
from keras_sched._checks import check, number

Schedule = keras.optimizers.schedules.LearningRateSchedule


class Chance:
    """The draws of one batch, each by another key; the same ones for the same key.

    Args:
        key: What to draw by, from `_draws`.
        step: How many batches were before, as an integer tensor.
    """

    def __init__(self, key, step):
        self._key, self._step, self._count = key, step, 0

    @classmethod
    def of_layer(cls, layer):
        """Returns the chance of a layer's next batch."""
        key = _draws.of_state(layer.generator.next())
        return cls(key, key[1])

    @classmethod
    def in_model(cls, layer):
        """Returns the same for a layer in a model: by its name, and for each replica."""
        key = _draws.of_state(layer.generator.next())
        named = _draws.another(key, zlib.crc32(layer.name.encode()))
        return cls(_of_replica(named), key[1])

    def uniform(self, *shape):
        """Draws float32 numbers, at least 0 and below 1."""
        return _draws.uniform(shape, self._next())

    def noise(self, shape, distribution):
        """Draws float32 numbers of mean 0 and variance 1, "normal" or "uniform".

        The uniform ones are 256 values, evenly spaced: a byte each, and so cheap.
        """
        if distribution == "normal":
            return _draws.normal(shape, self._next())
        return (_draws.byte(shape, self._next()) - 127.5) * (12 / (2**16 - 1)) ** 0.5

    def amount(self, value, batch):
        """Returns what `amount` let through for now: a number, or one for each image."""
        if isinstance(value, tuple):
            low, high = value
            return low + (high - low) * self.uniform(batch)
        return _at(value, self._step) if isinstance(value, Schedule) else value

    def _next(self):
        self._count += 1
        return _draws.another(self._key, self._count)


def amount(owner, name, value, least=0.0, most=float("inf")):
    """Returns a number, a pair of numbers to draw between, or a schedule, or refuses."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, (tuple, list)):
        pair = tuple(number(owner, name, each) for each in value)
        ordered = len(pair) == 2 and pair[0] <= pair[1]
        check(ordered, owner, name, "a number, a (low, high) pair or a schedule", value)
        for each in pair:
            _check_bounds(owner, name, each, least, most)
        return pair
    return _check_bounds(owner, name, number(owner, name, value), least, most)


def _check_bounds(owner, name, value, least, most):
    must = f"at least {least:g}" if np.isinf(most) else f"from {least:g} to {most:g}"
    check(least <= value <= most, owner, name, must, value)
    return value


def _of_replica(key):
    """Returns the key of the device that this is traced for by `tf.distribute`."""
    if ops.backend() != "tensorflow":
        return key
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return _draws.apart(key, replica.replica_id_in_sync_group) if replica else key


def _at(schedule, step):
    """Returns a schedule's value; in a pipeline of another backend Python is asked."""
    if ops.backend() == keras.backend.backend():
        return ops.cast(schedule(ops.cast(step, "int32")), "float32")
    import tensorflow as tf

    def ask(step):
        return np.float32(keras.ops.convert_to_numpy(schedule(int(step))))

    return tf.ensure_shape(tf.numpy_function(ask, [step], "float32"), ())

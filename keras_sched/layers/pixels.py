"""Arithmetic on pixels that ends in the dtype it began in."""

import keras
import numpy as np

from keras_sched import _ops as ops


def blend(images, others, weight):
    """Returns the images moved by a float32 `weight` towards the others, by 0 exactly."""
    x, y = calculable(images), calculable(others)
    return stored(x + ops.cast(weight, x.dtype) * (y - x), images.dtype)


def calculable(images):
    """Returns images as they are, or as float32 where they are integers."""
    whole = "int" in keras.backend.standardize_dtype(images.dtype)
    return ops.cast(images, "float32") if whole else images


def stored(values, dtype, value_range=None):
    """Returns values in a range and of a dtype, rounded to the nearest for integers."""
    dtype = keras.backend.standardize_dtype(dtype)
    if value_range:
        values = ops.clip(values, *value_range)
    if "int" not in dtype:
        return ops.cast(values, dtype)
    low, high = (np.float32(getattr(np.iinfo(dtype), end)) for end in ("min", "max"))
    if int(high) > np.iinfo(dtype).max:  # float32 has not all of them.
        high = np.nextafter(high, np.float32(0))
    return ops.cast(ops.round(ops.clip(values, low, high)), dtype)

"""Schedules at steps, whoever wrote them."""

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from keras_sched._checks import integer
from keras_sched._types import Rate
from keras_sched.schedules import fields
from keras_sched.schedules.base import Schedule, whole
from keras_sched.schedules.fields import StockSchedule


def evaluate(schedule, step):
    """Returns `schedule` at the int32 tensor `step`: float32, of the same shape.

    Stock Keras schedules take one step at a time, so a vector is mapped over.
    """
    if not isinstance(schedule, StockSchedule):
        return ops.full_like(step, schedule, dtype="float32")
    if isinstance(schedule, Schedule) or len(step.shape) == 0:
        return ops.cast(schedule(step), "float32")
    mapped = _map(lambda s: ops.cast(schedule(s), "float32"), ops.reshape(step, (-1,)))
    return ops.reshape(mapped, ops.shape(step))


def _map(function, vector):
    """Maps one by one, but where that takes milliseconds each."""
    slow = keras.backend.backend() == "tensorflow"
    return (ops.vectorized_map if slow else ops.map)(function, vector)


def values(schedule: Rate, steps: ArrayLike) -> NDArray[np.float32]:
    """Evaluates a schedule at many steps at once, for plots, logs and tests.

    Args:
        schedule: A number, one of these schedules or a stock Keras one.
        steps: How many steps, counted from 0, or an array of integer steps.

    Returns:
        float32 NumPy array, of the shape of `steps`.

    Raises:
        ValueError: For what is no schedule, or steps that are no integers.

    >>> values(StepDecay(1.0, drop_factor=0.5, drop_steps=2), 5).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    schedule = fields.rate("values", "schedule", schedule)
    if np.ndim(steps) == 0:
        steps = np.arange(integer("values", "steps", steps))
    if not np.size(steps):
        return np.zeros(np.shape(steps), "float32")
    found = evaluate(schedule, whole("values", np.asarray(steps)))
    return np.array(ops.convert_to_numpy(found))

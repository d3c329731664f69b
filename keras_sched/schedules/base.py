"""What every schedule shares: integer steps, checked fields, and saving by them."""

import abc
import dataclasses

import keras
import numpy as np
from keras import ops

from keras_sched._checks import check, integer, number

StockSchedule = keras.optimizers.schedules.LearningRateSchedule


class Schedule(StockSchedule, abc.ABC):
    """Base of all schedules: a frozen dataclass and one formula, `value`.

    Fields annotated `float` take any finite number, those annotated `int` any
    integer; both are refused otherwise, before `validate` sees them.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("keras_sched")(cls)

    def __post_init__(self):
        coerce = {float: number, int: integer}
        for field in dataclasses.fields(self):
            if field.type in coerce:
                value = getattr(self, field.name)
                value = coerce[field.type](self, field.name, value)
                object.__setattr__(self, field.name, value)
        self.validate()

    def __call__(self, step):
        tensor = ops.convert_to_tensor(step)
        whole = "int" in keras.backend.standardize_dtype(tensor.dtype)
        check(whole, self, "step", "an integer, or integers", step)
        return self.value(tensor)

    @abc.abstractmethod
    def validate(self):
        """Refuses fields out of bounds, each in one sentence."""

    @abc.abstractmethod
    def value(self, step):
        """Returns the value at `step`, float32 and of the same shape.

        Args:
            step: Integer tensor: how many updates have been made before this one.
                Formulas take differences, quotients and remainders of it while it
                is an integer; as float32 it would stop counting at 2**24.
        """

    def get_config(self):
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_config(cls, config):
        restore = keras.saving.deserialize_keras_object
        return cls(**{name: restore(value) for name, value in config.items()})


def check_schedule(owner, name, value):
    """Returns `value`: a schedule, or a number, which is a constant schedule."""
    if isinstance(value, StockSchedule):
        return value
    try:
        return number(owner, name, value)
    except ValueError:
        check(False, owner, name, "a finite number or a schedule", value)


def evaluate(schedule, step):
    """Returns `schedule` at the integer tensor `step`, whoever wrote the schedule.

    Stock Keras schedules take one step at a time, so a vector is given to them
    element by element.
    """
    if not isinstance(schedule, StockSchedule):
        return ops.full_like(step, schedule, dtype="float32")
    if isinstance(schedule, Schedule) or len(step.shape) == 0:
        return ops.cast(schedule(step), "float32")
    flat = [schedule(s) for s in ops.unstack(ops.reshape(step, (-1,)))]
    return ops.reshape(ops.cast(ops.stack(flat), "float32"), ops.shape(step))


def values(schedule, steps):
    """Evaluates a schedule at many steps at once, for plots, logs and tests.

    Args:
        schedule: A number, one of these schedules or a stock Keras one.
        steps: How many steps, counted from 0, or an array of integer steps.

    Returns:
        float32 NumPy array, of the shape of `steps`.

    >>> values(StepDecay(1.0, drop_factor=0.5, drop_steps=2), 5).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    schedule = check_schedule("values", "schedule", schedule)
    if np.ndim(steps) == 0:
        steps = np.arange(integer("values", "steps", steps))
    steps = np.asarray(steps).astype("int32")
    if not steps.size:
        return np.zeros(steps.shape, "float32")
    return np.array(
        ops.convert_to_numpy(evaluate(schedule, ops.convert_to_tensor(steps)))
    )

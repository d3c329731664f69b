"""What every schedule shares: whole steps, checked fields, and saving by them."""

import abc
import dataclasses
from typing import dataclass_transform

import keras
import numpy as np
from keras import ops

from keras_sched._checks import check
from keras_sched._types import Tensor
from keras_sched.schedules.fields import CHECKS, LAST_STEP, StockSchedule, kinds

MYPY = False  # Which mypy takes for true.
if MYPY:  # To it Keras has no types, and what derives from Keras takes any arguments.

    class _Base: ...

else:
    _Base = StockSchedule


@dataclass_transform(frozen_default=True, eq_default=False)
class Schedule(_Base, abc.ABC):
    """Base of all schedules: fields, and one formula, `value`.

    A subclass is a frozen dataclass without being told. Its fields are checked by what
    they are annotated with (`schedules.fields`), before `validate` sees them: `float`
    takes any finite number, `int` and `Steps` any integer. It is saved by its fields,
    and two are equal when they would be written alike.

    >>> class Halving(Schedule):
    ...     learning_rate: float
    ...
    ...     def validate(self):
    ...         pass
    ...
    ...     def value(self, step):
    ...         return self.learning_rate / ops.cast(step + 1, "float32")
    >>> Halving(1)
    Halving(learning_rate=1.0)
    >>> float(Halving(1)(4))
    0.20000000298023224
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        keras.saving.register_keras_serializable("keras_sched")(cls)

    def __post_init__(self):
        for name, kind in kinds(type(self)).items():
            if kind in CHECKS:
                value = CHECKS[kind](self, name, getattr(self, name))
                object.__setattr__(self, name, value)
        self.validate()

    def __call__(self, step: Tensor) -> Tensor:
        return self.value(whole(self, step))

    @abc.abstractmethod
    def validate(self) -> None:
        """Refuses fields out of bounds, each in one sentence."""

    @abc.abstractmethod
    def value(self, step: Tensor) -> Tensor:
        """Returns the value at `step`, float32 and of the same shape.

        Args:
            step: int32 tensor of at least 0: how many updates have been made before
                this one. Formulas take differences, quotients and remainders of it
                while it is an integer; as float32 it would stop counting at 2**24.
        """

    def get_config(self):
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_config(cls, config):
        restore = keras.saving.deserialize_keras_object
        return cls(**{name: restore(value) for name, value in config.items()})

    def __repr__(self):
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        told = {n: v for n, v in self.get_config().items() if v != defaults[n]}
        return _call(self, told)

    def __eq__(self, other):
        return type(other) is type(self) and repr(other) == repr(self)

    def __hash__(self):
        return hash(repr(self))


def whole(owner, step):
    """Returns `step` as int32, between the first step and the last."""
    host = isinstance(step, (int, list, tuple, np.ndarray, np.generic))
    step = np.asarray(step) if host else ops.convert_to_tensor(step)
    dtype = step.dtype.name if host else keras.backend.standardize_dtype(step.dtype)
    check("int" in dtype, owner, "step", "an integer, or integers", step)
    if host:
        return ops.convert_to_tensor(np.clip(step, 0, LAST_STEP).astype("int32"))
    if dtype in ("int64", "uint32", "uint64"):
        step = ops.clip(step, 0, LAST_STEP)
    return ops.maximum(ops.cast(step, "int32"), 0)


def _call(schedule, arguments):
    written = (f"{name}={_written(value)}" for name, value in arguments.items())
    return f"{type(schedule).__name__}({', '.join(written)})"


def _written(value):
    """Returns `value` as one would write it, Keras's own schedules included."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, Schedule) or not isinstance(value, StockSchedule):
        return repr(value)
    try:
        config = value.get_config()
    except NotImplementedError:
        return repr(value)
    config.pop("name", None)
    return _call(value, config)

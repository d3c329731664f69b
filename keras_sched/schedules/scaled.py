"""A schedule times a number, and the number for a larger batch."""

from typing import overload

from keras_sched._checks import at_least, integer
from keras_sched._types import ScheduleLike
from keras_sched.schedules import fields
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.evaluation import evaluate
from keras_sched.schedules.fields import Rate, StockSchedule


class Scaled(Schedule):
    """Multiplies the values of a schedule.

    Args:
        schedule: A rate, a schedule of ours or a stock Keras one.
        factor: What to multiply by. Not negative.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = Scaled(LinearDecay(0.4, decay_steps=4), 0.5)
    >>> [round(float(rate(step)), 4) for step in (0, 1, 4)]
    [0.2, 0.15, 0.0]
    """

    schedule: Rate
    factor: float

    def validate(self):
        at_least(self, 0, "factor")

    def value(self, step):
        return self.factor * evaluate(self.schedule, step)


@overload
def linear_scaling(
    learning_rate: float, batch_size: int, base_batch_size: int = 256
) -> float: ...


@overload
def linear_scaling(
    learning_rate: ScheduleLike, batch_size: int, base_batch_size: int = 256
) -> Scaled: ...


def linear_scaling(
    learning_rate: float | ScheduleLike, batch_size: int, base_batch_size: int = 256
) -> float | Scaled:
    """Scales a rate with the batch size: k times the batch, k times the rate.

    The rule of Goyal et al., "Accurate, Large Minibatch SGD" (2017), who warm up over
    the first five epochs with it. The batch is what one update sees: that of all
    replicas, times the steps of gradient accumulation.

    Args:
        learning_rate: What suits `base_batch_size`: a rate, or a schedule.
        batch_size: The batch that is to be trained with. At least 1.
        base_batch_size: The batch that the rate was found with. At least 1.

    Returns:
        A rate for a rate, a `Scaled` for a schedule.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> linear_scaling(0.1, 1024)
    0.4
    >>> linear_scaling(LinearDecay(0.4, decay_steps=4), 128)
    Scaled(schedule=LinearDecay(initial_learning_rate=0.4, decay_steps=4), factor=0.5)
    """
    name = "linear_scaling"
    rate = fields.rate(name, "learning_rate", learning_rate)
    batch_size = integer(name, "batch_size", batch_size, at_least=1)
    base = integer(name, "base_batch_size", base_batch_size, at_least=1)
    if isinstance(rate, StockSchedule):
        return Scaled(rate, batch_size / base)
    return rate * batch_size / base

"""A schedule whose step is more than one."""

from keras import ops

from keras_sched._checks import at_least
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.evaluation import evaluate
from keras_sched.schedules.fields import RateInOwnSteps, Steps


class Slowed(Schedule):
    """Moves a schedule on by one step every `factor` steps only.

    With `gradient_accumulation_steps` as factor, a schedule that counts updates is
    followed exactly (Keras's optimizers count batches). With the steps of an epoch, the
    schedule is stepped once an epoch, as PyTorch's and timm's schedulers mostly are; for
    a smooth curve over epochs there is `in_epochs`.

    Args:
        schedule: A rate, a schedule of ours or a stock Keras one.
        factor: Steps in which the schedule makes one. At least 1.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = Slowed(LinearDecay(0.4, decay_steps=4), 2)
    >>> [round(float(rate(step)), 4) for step in range(6)]
    [0.4, 0.4, 0.3, 0.3, 0.2, 0.2]
    """

    schedule: RateInOwnSteps
    factor: Steps

    def validate(self):
        at_least(self, 1, "factor")

    def value(self, step):
        return evaluate(self.schedule, ops.floor_divide(step, self.factor))

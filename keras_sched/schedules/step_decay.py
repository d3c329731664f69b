"""Step decay: a drop every so many steps."""

from keras import ops

from keras_sched._checks import at_least, share
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import Steps
from keras_sched.schedules.powers import power


class StepDecay(Schedule):
    """Multiplies the rate by `drop_factor` every `drop_steps` steps.

    PyTorch's `StepLR`.

    Args:
        initial_learning_rate: Rate until the first drop. Not negative.
        drop_factor: What each drop multiplies by. Above 0, at most 1.
        drop_steps: Steps between drops. At least 1.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = StepDecay(0.1, drop_factor=0.5, drop_steps=10)
    >>> [round(float(rate(step)), 4) for step in (0, 9, 10, 20)]
    [0.1, 0.1, 0.05, 0.025]
    """

    initial_learning_rate: float
    drop_factor: float
    drop_steps: Steps

    def validate(self):
        at_least(self, 0, "initial_learning_rate")
        share(self, "drop_factor")
        at_least(self, 1, "drop_steps")

    def value(self, step):
        drops = ops.floor_divide(step, self.drop_steps)
        return self.initial_learning_rate * power(self.drop_factor, drops)

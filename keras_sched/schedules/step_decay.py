"""Step decay: a drop every so many updates."""

import dataclasses

from keras import ops

from keras_sched._checks import check
from keras_sched.schedules.base import Schedule


@dataclasses.dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplies the rate by `drop_factor` every `drop_steps` updates.

    Args:
        initial_learning_rate: Rate until the first drop. Not negative.
        drop_factor: What each drop multiplies by. Above 0.
        drop_steps: Updates between drops. At least 1.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = StepDecay(0.1, drop_factor=0.5, drop_steps=10)
    >>> [round(float(rate(step)), 4) for step in (0, 9, 10, 20)]
    [0.1, 0.1, 0.05, 0.025]
    """

    initial_learning_rate: float
    drop_factor: float
    drop_steps: int

    def validate(self):
        rate, factor, steps = dataclasses.astuple(self)
        check(rate >= 0, self, "initial_learning_rate", "at least 0", rate)
        check(factor > 0, self, "drop_factor", "above 0", factor)
        check(steps >= 1, self, "drop_steps", "at least 1", steps)

    def value(self, step):
        drops = ops.cast(ops.floor_divide(step, self.drop_steps), "float32")
        return self.initial_learning_rate * ops.power(self.drop_factor, drops)

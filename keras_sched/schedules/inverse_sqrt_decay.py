"""Inverse square root decay, after Vaswani et al. 2017."""

from keras import ops

from keras_sched._checks import at_least
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import Steps


class InverseSqrtDecay(Schedule):
    """Rises straight to the peak, then falls as one over the square root of the step.

    From Vaswani et al., "Attention Is All You Need" (2017), where the first step is 1:
    their rate for a width of d is this one with a peak of
    `(d * warmup_steps) ** -0.5`. The first update is made at the peak over
    `warmup_steps`, not at 0, and the peak is the rate of the last step of the warm-up.

    Args:
        max_learning_rate: The peak. Not negative.
        warmup_steps: Steps of rise. At least 1, with which there is none.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = InverseSqrtDecay(0.8, warmup_steps=4)
    >>> [round(float(rate(step)), 4) for step in (0, 1, 3, 15, 63)]
    [0.2, 0.4, 0.8, 0.4, 0.2]
    """

    max_learning_rate: float
    warmup_steps: Steps

    def validate(self):
        at_least(self, 0, "max_learning_rate")
        at_least(self, 1, "warmup_steps")

    def value(self, step):
        part = (ops.cast(step, "float32") + 1.0) / self.warmup_steps
        return self.max_learning_rate * ops.minimum(part, 1.0 / ops.sqrt(part))

"""Time-based decay: the rate falls as one over time."""

import dataclasses

from keras import ops

from keras_sched._checks import at_least
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import PerStep, Steps


class TimeBasedDecay(Schedule):
    """Divides the rate by `1 + decay_rate * step`.

    With `update_steps=1` this is the `decay` argument that Keras's optimizers had
    until Keras 3; with the steps of an epoch the rate changes between epochs only.

    Args:
        initial_learning_rate: Rate at step 0. Not negative.
        decay_rate: How much the divisor grows in one step. Not negative.
        update_steps: The rate changes every so many steps. At least 1.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = TimeBasedDecay(1.0, decay_rate=0.5, update_steps=2)
    >>> [float(rate(step)) for step in (0, 1, 2, 3, 6)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    initial_learning_rate: float
    decay_rate: PerStep
    _: dataclasses.KW_ONLY
    update_steps: Steps = 1

    def validate(self):
        at_least(self, 0, "initial_learning_rate", "decay_rate")
        at_least(self, 1, "update_steps")

    def value(self, step):
        updated = step - ops.mod(step, self.update_steps)
        time = ops.cast(updated, "float32")
        return self.initial_learning_rate / (1.0 + self.decay_rate * time)

"""A straight line from one rate to another."""

import dataclasses

from keras_sched._checks import at_least
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import Steps
from keras_sched.schedules.interpolation import interpolate


class LinearDecay(Schedule):
    """Goes straight to `end_learning_rate` and stays there.

    Args:
        initial_learning_rate: Rate at step 0. Not negative.
        decay_steps: Step from which the end rate holds. At least 1.
        end_learning_rate: Rate from there on. Not negative; above the initial one, the
            line rises.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = LinearDecay(0.4, decay_steps=4)
    >>> [round(float(rate(step)), 4) for step in (0, 1, 2, 4, 9)]
    [0.4, 0.3, 0.2, 0.0, 0.0]
    """

    initial_learning_rate: float
    decay_steps: Steps
    _: dataclasses.KW_ONLY
    end_learning_rate: float = 0.0

    def validate(self):
        at_least(self, 0, "initial_learning_rate", "end_learning_rate")
        at_least(self, 1, "decay_steps")

    def value(self, step):
        end = (self.decay_steps, self.end_learning_rate)
        return interpolate(((0, self.initial_learning_rate), end), "linear", step)

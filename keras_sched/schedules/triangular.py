"""Cyclical rates in triangles, after Smith 2015."""

import dataclasses

from keras import ops

from keras_sched._checks import at_least, integer, one_of, share
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import FactorPerStep, Steps
from keras_sched.schedules.powers import power

MODES = ("triangular", "triangular2", "exp_range")


class Triangular(Schedule):
    """Goes straight up and straight down between two rates, over and over.

    Equals the rates of PyTorch's `CyclicLR`. From Smith, "Cyclical Learning Rates for
    Training Neural Networks" (2015). With `base_learning_rate` above the maximum it is
    the momentum that mirrors such a rate.

    Args:
        base_learning_rate: Where each cycle begins and ends. Not negative.
        max_learning_rate: The peak. Not negative.
        step_size_up: Steps of the rise. At least 1.
        step_size_down: Steps of the fall. At least 1. `None`: as many as of the rise.
        mode: What becomes of the height over the base. "triangular": it stays;
            "triangular2": it is halved each cycle; "exp_range": it is multiplied by
            `gamma` each step.
        gamma: Used with "exp_range" only. Above 0, at most 1.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = Triangular(0.1, 0.5, step_size_up=4, step_size_down=2, mode="triangular2")
    >>> [round(float(rate(step)), 4) for step in (0, 1, 4, 5, 6, 10)]
    [0.1, 0.2, 0.5, 0.3, 0.1, 0.3]
    """

    base_learning_rate: float
    max_learning_rate: float
    step_size_up: Steps
    _: dataclasses.KW_ONLY
    step_size_down: Steps | None = None
    mode: str = "triangular"
    gamma: FactorPerStep = 1.0

    def validate(self):
        at_least(self, 0, "base_learning_rate", "max_learning_rate")
        at_least(self, 1, "step_size_up")
        integer(self, "step_size_up + step_size_down", sum(self._sizes()))
        one_of(self, "mode", self.mode, MODES)
        share(self, "gamma")

    def value(self, step):
        up, down = self._sizes()
        cycle = ops.floor_divide(step, up + down)
        place = step - cycle * (up + down)
        rising = place <= up
        high = ops.where(rising, _part(place, up), _part(up + down - place, down))
        low = ops.where(rising, _part(up - place, up), _part(place - up, down))
        scale = self._scale(cycle, step)
        low = low + high * (1.0 - scale)
        return self.max_learning_rate * high * scale + self.base_learning_rate * low

    def _sizes(self):
        up, down = self.step_size_up, self.step_size_down
        return up, up if down is None else down

    def _scale(self, cycle, step):
        if self.mode == "triangular2":
            return power(0.5, cycle)
        return power(self.gamma, step) if self.mode == "exp_range" else 1.0


def _part(steps, of):
    return ops.cast(steps, "float32") / of

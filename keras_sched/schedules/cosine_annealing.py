"""Cosine annealing, once or in equal cycles, after Loshchilov and Hutter 2016."""

import dataclasses

from keras import ops

from keras_sched._checks import at_least, check
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import Steps
from keras_sched.schedules.interpolation import interpolate


class CosineAnnealing(Schedule):
    """Falls along half a cosine, `cycles` times over.

    From Loshchilov and Hutter, "SGDR" (2016); with cycles, from Huang et al., "Snapshot
    Ensembles" (2017). Where the steps do not divide into the cycles, the cycles are
    rounded up and the last one ends later, so that no short one is added. After the
    last cycle the minimum stays.

    Args:
        max_learning_rate: Where each cycle begins. At least the minimum.
        total_steps: Steps of all cycles together. At least 1.
        cycles: How many. From 1 to `total_steps`.
        min_learning_rate: Where each cycle ends. Not negative.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = CosineAnnealing(0.8, total_steps=8, cycles=2)
    >>> [round(float(rate(step)), 4) for step in (0, 2, 3, 4, 6, 8, 99)]
    [0.8, 0.4, 0.1172, 0.8, 0.4, 0.0, 0.0]
    """

    max_learning_rate: float
    total_steps: Steps
    _: dataclasses.KW_ONLY
    cycles: int = 1
    min_learning_rate: float = 0.0

    def validate(self):
        at_least(self, 0, "min_learning_rate")
        at_least(self, self.min_learning_rate, "max_learning_rate")
        at_least(self, 1, "total_steps")
        fits = 1 <= self.cycles <= self.total_steps
        must = f"from 1 to total_steps, {self.total_steps}"
        check(fits, self, "cycles", must, self.cycles)

    def value(self, step):
        length = -(-self.total_steps // self.cycles)
        end = -(-self.total_steps // length) * length
        place = ops.where(step < end, ops.mod(step, length), length)
        ends = ((0, self.max_learning_rate), (length, self.min_learning_rate))
        return interpolate(ends, "cosine", place)

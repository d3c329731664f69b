"""Cosine annealing with warm restarts, after Loshchilov and Hutter 2016."""

import dataclasses
import decimal
import functools
import math

import numpy as np
from keras import ops

from keras_sched._checks import at_least, check, share
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import LAST_STEP, Steps
from keras_sched.schedules.interpolation import last_begun
from keras_sched.schedules.powers import power

_MOST_CYCLES = 2**16


class CosineRestarts(Schedule):
    """Falls along half a cosine and starts again, each cycle longer than the last.

    From Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts"
    (2016). A restart is at a whole step: where the sum of the cycles' exact lengths
    is not whole, at the nearest one (half a step counts as a whole). Keras's
    `CosineDecayRestarts` looks for the cycle with a logarithm in float32, and restarts
    a step off the mark again and again.

    Args:
        max_learning_rate: Where the first cycle begins. At least the minimum.
        first_cycle_steps: Length of the first cycle. At least 1.
        cycle_factor: How much longer each cycle is than the one before. 1, or enough
            above it that there are no more than 65,536 cycles in 2**31 steps.
        max_factor: What the height above the minimum is multiplied by at each restart.
            Above 0, at most 1.
        min_learning_rate: Where each cycle ends. Not negative.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = CosineRestarts(0.8, first_cycle_steps=2, max_factor=0.5)
    >>> [round(float(rate(step)), 4) for step in (0, 1, 2, 4, 6, 10)]
    [0.8, 0.4, 0.4, 0.2, 0.2, 0.1]
    """

    max_learning_rate: float
    first_cycle_steps: Steps
    _: dataclasses.KW_ONLY
    cycle_factor: float = 2.0
    max_factor: float = 1.0
    min_learning_rate: float = 0.0

    def validate(self):
        at_least(self, 0, "min_learning_rate")
        at_least(self, self.min_learning_rate, "max_learning_rate")
        at_least(self, 1, "first_cycle_steps", "cycle_factor")
        few = _cycles(self.first_cycle_steps, self.cycle_factor) <= _MOST_CYCLES
        must = "1, or large enough for at most 65,536 cycles in 2**31 steps"
        check(few, self, "cycle_factor", must, self.cycle_factor)
        share(self, "max_factor")

    def value(self, step):
        cycle, left, length = self._place(step)
        height = self.max_learning_rate - self.min_learning_rate
        wave = ops.square(ops.sin(math.pi / 2 * left / length))
        return self.min_learning_rate + height * power(self.max_factor, cycle) * wave

    def _place(self, step):
        """Returns the cycle, how many steps of it are left, and how many it has."""
        if self.cycle_factor == 1:
            cycle = ops.floor_divide(step, self.first_cycle_steps)
            gone = step - cycle * self.first_cycle_steps
            left = ops.cast(self.first_cycle_steps - gone, "float32")
            return cycle, left, self.first_cycle_steps
        steps, values = _table(self.first_cycle_steps, self.cycle_factor)
        _, cycle, end, beyond, length = last_begun(steps, values, step)
        return cycle, ops.cast(end - step, "float32") + beyond, length


def _cycles(first, factor):
    """Returns how many cycles begin within the steps there are, about."""
    if factor == 1:
        return 1
    return math.log1p(LAST_STEP / first * (factor - 1)) / math.log(factor)


@functools.lru_cache(maxsize=64)
def _table(first, factor):
    """Returns a column a cycle: start, number, end; what is past counting, length."""
    with decimal.localcontext(prec=60):
        end, length, restarts = decimal.Decimal(0), decimal.Decimal(first), [0]
        while restarts[-1] <= LAST_STEP:
            end, length = end + length, length * decimal.Decimal(factor)
            whole = end.to_integral_value(decimal.ROUND_HALF_UP)
            restarts.append(int(whole))
    starts, ends = restarts[:-1], restarts[1:]
    counted = [min(end, LAST_STEP) for end in ends]
    beyond = [end - last for end, last in zip(ends, counted)]
    lengths = [end - start for start, end in zip(starts, ends)]
    steps = np.array([starts, range(len(starts)), counted], "int32")
    return steps, np.array([beyond, lengths], "float32")

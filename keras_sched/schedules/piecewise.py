"""A schedule drawn as points."""

import dataclasses

from keras_sched._checks import one_of
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import Points
from keras_sched.schedules.interpolation import INTERPOLATIONS, interpolate


class Piecewise(Schedule):
    """Passes through `(step, value)` points; the end values hold outside them.

    Args:
        points: `(step, value)` pairs, at least one, in order of step. Steps are
            integers of at least 0 and all different.
        interpolation: "linear", "cosine" or "constant" (a value holds until the
            next point; that step already has the next value).

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = Piecewise([(0, 0.0), (4, 0.4), (8, 0.0)])
    >>> [round(float(rate(step)), 1) for step in (0, 1, 4, 6, 100)]
    [0.0, 0.1, 0.4, 0.2, 0.0]
    """

    points: Points
    _: dataclasses.KW_ONLY
    interpolation: str = "linear"

    def validate(self):
        one_of(self, "interpolation", self.interpolation, INTERPOLATIONS)

    def value(self, step):
        return interpolate(self.points, self.interpolation, step)

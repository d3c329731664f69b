"""A schedule drawn as points."""

import dataclasses

from keras_sched._checks import check, integer, number, one_of
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.interpolation import INTERPOLATIONS, interpolate


@dataclasses.dataclass(frozen=True)
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

    points: tuple
    _: dataclasses.KW_ONLY
    interpolation: str = "linear"

    def validate(self):
        object.__setattr__(self, "points", tuple(map(self._point, self.points)))
        steps = [step for step, _ in self.points]
        grows = all(step < later for step, later in zip(steps, steps[1:]))
        must = "at least one pair, in order of step"
        check(steps and grows, self, "points", must, self.points)
        one_of(self, "interpolation", self.interpolation, INTERPOLATIONS)

    def _point(self, point):
        pair = isinstance(point, (tuple, list)) and len(point) == 2
        check(pair, self, "points", "(step, value) pairs", point)
        step, value = point
        return integer(self, "points", step), number(self, "points", value)

    def value(self, step):
        return interpolate(self.points, self.interpolation, step)

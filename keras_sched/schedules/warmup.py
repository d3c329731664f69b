"""A gentle beginning for any schedule."""

import dataclasses

from keras import ops

from keras_sched._checks import check, one_of
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.evaluation import evaluate
from keras_sched.schedules.fields import Rate, Steps
from keras_sched.schedules.interpolation import INTERPOLATIONS, interpolate


class Warmup(Schedule):
    """Rises to where `schedule` begins, then follows it from its own step 0.

    Args:
        schedule: What follows: a rate, a schedule of ours or a stock Keras one.
        warmup_steps: Updates before `schedule` begins. With 0 it begins at once.
        initial_learning_rate: Rate at step 0. With "constant" it lasts the warm-up,
            and then must be given: a whole warm-up at rate 0 would teach nothing.
        mode: "linear" (Goyal et al., 2017), "cosine" or "constant" (He et al., 2016).

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = Warmup(0.8, warmup_steps=4)
    >>> [round(float(rate(step)), 2) for step in (0, 1, 2, 4, 99)]
    [0.0, 0.2, 0.4, 0.8, 0.8]
    """

    schedule: Rate
    warmup_steps: Steps
    _: dataclasses.KW_ONLY
    initial_learning_rate: float = 0.0
    mode: str = "linear"

    def validate(self):
        one_of(self, "mode", self.mode, INTERPOLATIONS)
        rate, constant = self.initial_learning_rate, self.mode == "constant"
        must = "above 0 with mode='constant'" if constant else "at least 0"
        fits = rate > 0 if constant else rate >= 0
        check(fits, self, "initial_learning_rate", must, rate)

    def value(self, step):
        after = evaluate(self.schedule, ops.maximum(step - self.warmup_steps, 0))
        if self.warmup_steps == 0:
            return after
        peak = evaluate(self.schedule, ops.zeros_like(step))
        rise = peak * self._way(step, 0.0, 1.0)
        if self.initial_learning_rate:
            rise = rise + self.initial_learning_rate * self._way(step, 1.0, 0.0)
        return ops.where(step < self.warmup_steps, rise, after)

    def _way(self, step, start, end):
        points = ((0, start), (self.warmup_steps, end))
        return interpolate(points, self.mode, step)

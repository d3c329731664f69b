"""The trapezoid: warm-up, a plateau, and a way down, after Hu et al. 2024."""

import dataclasses

from keras import ops

from keras_sched._checks import at_least, integer, one_of
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import Steps
from keras_sched.schedules.interpolation import interpolate

DECAYS = ("linear", "cosine", "1-sqrt")


class WarmupStableDecay(Schedule):
    """Rises from 0, stays, and comes down, in three given stretches.

    From Hu et al., "MiniCPM" (2024), and, as the trapezoid, Zhai et al., "Scaling Vision
    Transformers" (2021); the fall as 1 less the square root is from Hägele et al.,
    "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations" (2024).

    Args:
        max_learning_rate: The rate of the plateau. At least the end rate.
        warmup_steps: Steps of straight rise from 0. With 0 the plateau begins at once.
        stable_steps: Steps of the plateau. May be 0.
        decay_steps: Steps of the fall. At least 1.
        decay: Its form: "linear", "cosine" or "1-sqrt".
        end_learning_rate: Rate after the fall. Not negative.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = WarmupStableDecay(0.4, warmup_steps=2, stable_steps=6, decay_steps=4)
    >>> [round(float(rate(step)), 4) for step in (0, 1, 2, 8, 9, 12, 99)]
    [0.0, 0.2, 0.4, 0.4, 0.3, 0.0, 0.0]
    """

    max_learning_rate: float
    warmup_steps: Steps
    stable_steps: Steps
    decay_steps: Steps
    _: dataclasses.KW_ONLY
    decay: str = "linear"
    end_learning_rate: float = 0.0

    def validate(self):
        at_least(self, 0, "end_learning_rate")
        at_least(self, self.end_learning_rate, "max_learning_rate")
        at_least(self, 1, "decay_steps")
        total = self.warmup_steps + self.stable_steps + self.decay_steps
        integer(self, "warmup_steps + stable_steps + decay_steps", total)
        one_of(self, "decay", self.decay, DECAYS)

    def value(self, step):
        peak = (self.warmup_steps, self.max_learning_rate)
        begin = self.warmup_steps + self.stable_steps
        rise = interpolate(((0, 0.0), peak), "linear", step)
        return ops.where(step < begin, rise, self._fall(step - begin))

    def _fall(self, step):
        most, least = self.max_learning_rate, self.end_learning_rate
        if self.decay != "1-sqrt":
            ends = ((0, most), (self.decay_steps, least))
            return interpolate(ends, self.decay, step)
        step = ops.clip(step, 0, self.decay_steps)
        gone = ops.cast(step, "float32") / self.decay_steps
        left = ops.cast(self.decay_steps - step, "float32") / self.decay_steps
        # 1 - sqrt(gone), without the difference of two numbers that are nearly equal.
        return least + (most - least) * left / (1.0 + ops.sqrt(gone))

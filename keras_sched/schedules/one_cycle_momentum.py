"""The momentum that mirrors the one-cycle rate, after Smith 2018."""

import dataclasses

from keras_sched._checks import check
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import Steps
from keras_sched.schedules.interpolation import interpolate
from keras_sched.schedules.phases import check_phases, phases


class OneCycleMomentum(Schedule):
    """Falls to `base_momentum` while `OneCycle` rises, and comes back as it falls.

    Equals what PyTorch's `OneCycleLR` does with `cycle_momentum=True`. It is a value
    for `momentum` (SGD, RMSprop) or `beta_1` (Adam and its kin).

    Args:
        total_steps: Length of the cycle in updates. At least 1.
        base_momentum: Momentum at the peak of the rate. From 0 to below 1.
        max_momentum: Momentum at the beginning and the end. From 0 to below 1.
        pct_start: As in `OneCycle`.
        anneal: As in `OneCycle`.
        three_phase: As in `OneCycle`.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> momentum = OneCycleMomentum(10, anneal="linear")
    >>> [round(float(momentum(step)), 3) for step in (0, 1, 2, 9)]
    [0.95, 0.9, 0.85, 0.95]
    """

    total_steps: Steps
    _: dataclasses.KW_ONLY
    base_momentum: float = 0.85
    max_momentum: float = 0.95
    pct_start: float = 0.3
    anneal: str = "cosine"
    three_phase: bool = False

    def validate(self):
        check_phases(self)
        for name in ("base_momentum", "max_momentum"):
            momentum = getattr(self, name)
            check(0 <= momentum < 1, self, name, "from 0 to below 1", momentum)

    def value(self, step):
        most = self.max_momentum
        values = (most, self.base_momentum, *([most] * self.three_phase), most)
        return interpolate(phases(self, values), self.anneal, step)

"""The one-cycle rate, after Smith 2017 and 2018."""

import dataclasses

from keras_sched._checks import above
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import Steps
from keras_sched.schedules.interpolation import interpolate
from keras_sched.schedules.phases import check_phases, phases


class OneCycle(Schedule):
    """Rises to `max_learning_rate`, then falls far below where it began.

    Equals `torch.optim.lr_scheduler.OneCycleLR` at every step of the run, and stays
    at its minimum afterwards, where PyTorch's rises again. From Smith and Topin,
    "Super-Convergence" (2017) and Smith, "A disciplined approach to neural network
    hyper-parameters" (2018).

    Args:
        max_learning_rate: The peak. Above 0.
        total_steps: Length of the cycle in updates. At least 1.
        pct_start: Part of the cycle spent rising, 0 to 1 (0.5 with three phases).
            Where `pct_start * total_steps` is not above 1 there is no rise. With 1 there
            is no fall: the cycle ends at its peak. A cycle of a single step is its end.
        div_factor: The first rate is `max_learning_rate / div_factor`.
        final_div_factor: The last rate is the first divided by this.
        anneal: "cosine" or "linear".
        three_phase: Whether to come down to the first rate as fast as the rise went,
            and to the minimum in what is left.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = OneCycle(1.0, total_steps=10, anneal="linear")
    >>> [round(float(rate(step)), 4) for step in (0, 1, 2, 3, 9, 99)]
    [0.04, 0.52, 1.0, 0.8571, 0.0, 0.0]
    """

    max_learning_rate: float
    total_steps: Steps
    _: dataclasses.KW_ONLY
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal: str = "cosine"
    three_phase: bool = False

    def validate(self):
        check_phases(self)
        above(self, 0, "max_learning_rate", "div_factor", "final_div_factor")

    def value(self, step):
        first = self.max_learning_rate / self.div_factor
        last = first / self.final_div_factor
        values = (first, self.max_learning_rate, *([first] * self.three_phase), last)
        return interpolate(phases(self, values), self.anneal, step)

"""One schedule after another."""

from keras import ops

from keras_sched._checks import check
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.evaluation import evaluate
from keras_sched.schedules.fields import OrderedSteps, Rates


class Join(Schedule):
    """Follows each schedule up to its boundary, each from its own step 0.

    Args:
        schedules: Rates, schedules of ours or stock Keras ones. At least one.
        boundaries: Steps at which the second, the third and so on begin: growing, each
            at least 1, one fewer than there are schedules.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = Join([LinearDecay(0.4, 4), StepDecay(0.2, 0.5, 2)], [2])
    >>> [round(float(rate(step)), 4) for step in (0, 1, 2, 3, 4, 6)]
    [0.4, 0.3, 0.2, 0.2, 0.1, 0.05]
    """

    schedules: Rates
    boundaries: OrderedSteps

    def validate(self):
        count = len(self.schedules)
        check(count, self, "schedules", "at least one", self.schedules)
        must = f"{count - 1} for {count} schedules"
        fits = len(self.boundaries) == count - 1
        check(fits, self, "boundaries", must, self.boundaries)

    def value(self, step):
        first, *later = self.schedules
        value = evaluate(first, step)
        for boundary, schedule in zip(self.boundaries, later):
            part = evaluate(schedule, ops.maximum(step - boundary, 0))
            value = ops.where(step < boundary, value, part)
        return value

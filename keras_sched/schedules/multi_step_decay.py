"""Multi-step decay: a drop at each of the steps named."""

from keras_sched._checks import at_least, share
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.fields import OrderedSteps
from keras_sched.schedules.interpolation import interpolate


class MultiStepDecay(Schedule):
    """Multiplies the rate by `drop_factor` at each boundary.

    The step of a boundary has the lower rate already, as with PyTorch's `MultiStepLR`;
    Keras's `PiecewiseConstantDecay` changes one step later.

    Args:
        initial_learning_rate: Rate before the first boundary. Not negative.
        boundaries: Steps of the drops, growing, each at least 1. None: no drop.
        drop_factor: What each drop multiplies by. Above 0, at most 1.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> rate = MultiStepDecay(0.1, [30, 60])
    >>> [round(float(rate(step)), 4) for step in (0, 29, 30, 59, 60, 99)]
    [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    """

    initial_learning_rate: float
    boundaries: OrderedSteps
    drop_factor: float = 0.1

    def validate(self):
        at_least(self, 0, "initial_learning_rate")
        share(self, "drop_factor")

    def value(self, step):
        rates = [
            self.initial_learning_rate * self.drop_factor**drops
            for drops in range(len(self.boundaries) + 1)
        ]
        points = tuple(zip((0, *self.boundaries), rates))
        return interpolate(points, "constant", step)

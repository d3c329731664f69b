"""Noise on the gradients, less with every update."""

import math

from keras import ops

from keras_sched import schedules
from keras_sched._checks import at_least, integer, number
from keras_sched.callbacks.base import ScheduleCallback
from keras_sched.hyperparameters import batches_per_update


class GradientNoise(ScheduleCallback):
    """Adds normal noise of variance `eta / (1 + update)**gamma` to every gradient.

    It comes after clipping and unscaling and once an update: to the mean gradient where
    gradients are accumulated, to their sum where several replicas have a part. The noise
    is a function of the seed and of how many batches the optimizer has been given, so
    that a run that goes on draws what it would have drawn; gradients of an `Embedding`
    get it in every row. Neelakantan et al., "Adding Gradient Noise Improves Learning for
    Very Deep Networks" (2015).

    In the next `fit` the variance begins again; with `initial_epoch`, or after a resume,
    it goes on. The logs get the standard deviation as `gradient_noise`. For another
    course than the paper's, give `gradient_noise` to `HyperparameterScheduler`.

    Args:
        eta: Variance at the first update; the paper took 0.01, 0.3 or 1. Not negative.
        gamma: How fast it falls. Not negative; at 0 it stays.
        seed: Integer seed.

    Raises:
        ValueError: At construction, for an argument out of these bounds. When training
            begins with `initial_epoch`, for data that do not tell how many batches an
            epoch has.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.ones((8, 4)), np.ones((8, 1))
    >>> noise = callbacks.GradientNoise(0.01, gamma=1.0)
    >>> history = model.fit(x, y, epochs=4, verbose=0, callbacks=[noise])
    >>> [round(stddev, 3) for stddev in history.history["gradient_noise"]]
    [0.1, 0.071, 0.058, 0.05]
    """

    def __init__(self, eta: float = 0.3, gamma: float = 0.55, *, seed: int = 0):
        super().__init__()
        self.eta, self.gamma = number(self, "eta", eta), number(self, "gamma", gamma)
        at_least(self, 0, "eta", "gamma")
        self.seed = integer(self, "seed", seed)

    def schedules(self, optimizer, steps_per_epoch, epochs):
        stddev = _PowerDecay(math.sqrt(self.eta), self.gamma / 2)
        return {"gradient_noise": schedules.Slowed(stddev, batches_per_update(optimizer))}


class _PowerDecay(schedules.Schedule):
    """One over a power of the number of updates, this one included."""

    initial: float
    exponent: float

    def validate(self):
        at_least(self, 0, "initial", "exponent")

    def value(self, step):
        return self.initial * ops.power(ops.cast(step, "float32") + 1.0, -self.exponent)

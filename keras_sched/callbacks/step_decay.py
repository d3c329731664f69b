"""A drop of the rate every so many epochs."""

from keras_sched import schedules
from keras_sched._checks import integer
from keras_sched.callbacks.base import ScheduleCallback
from keras_sched.hyperparameters import compiled_learning_rate


class StepDecay(ScheduleCallback):
    """Multiplies the learning rate by `drop_factor` every `drop_epochs` epochs.

    It starts from the rate the optimizer was compiled with, which comes back at the end;
    in the next `fit` it begins again. With `initial_epoch`, or after a resume, it goes
    on.

    Args:
        drop_factor: What each drop multiplies by. Above 0, at most 1.
        drop_epochs: Epochs between drops. At least 1.
        momentum_correction: Whether SGD's velocity follows the rate, as PyTorch's does;
            `schedule_hyperparameters` says how.

    Raises:
        ValueError: At construction, for an argument out of these bounds. When training
            begins, if the optimizer was compiled with a schedule, or if nobody knows how
            many batches an epoch has.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.4), "mse")
    >>> x, y = np.ones((8, 4)), np.ones((8, 1))
    >>> drops = callbacks.StepDecay(0.5, drop_epochs=2)
    >>> history = model.fit(x, y, epochs=5, verbose=0, callbacks=[drops])
    >>> [round(rate, 3) for rate in history.history["learning_rate"]]
    [0.4, 0.4, 0.2, 0.2, 0.1]
    """

    def __init__(
        self,
        drop_factor: float = 0.5,
        drop_epochs: int = 10,
        *,
        momentum_correction: bool = False,
    ):
        super().__init__(momentum_correction=momentum_correction)
        self.drop_factor = drop_factor
        self.drop_epochs = integer(self, "drop_epochs", drop_epochs, at_least=1)
        self._from(0.0, 1)

    def schedules(self, optimizer, steps_per_epoch, epochs):
        steps = self.known(steps_per_epoch)
        return {"learning_rate": self._from(compiled_learning_rate(optimizer), steps)}

    def _from(self, rate, steps):
        return schedules.StepDecay(rate, self.drop_factor, self.drop_epochs * steps)

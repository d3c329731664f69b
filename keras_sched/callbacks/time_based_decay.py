"""The rate divided by one plus time, epoch by epoch."""

from keras_sched import schedules
from keras_sched.callbacks.base import ScheduleCallback
from keras_sched.hyperparameters import compiled_learning_rate


class TimeBasedDecay(ScheduleCallback):
    """Divides the learning rate by `1 + decay_rate * steps made`, once an epoch.

    What `SGD(decay=...)` did before Keras 3, but for the rate being the same all through
    an epoch. It starts from the rate the optimizer was compiled with, which comes back at
    the end; in the next `fit` it begins again. With `initial_epoch`, or after a resume,
    it goes on.

    Args:
        decay_rate: How much the divisor grows in one step. Not negative. `None`: the
            compiled rate over the epochs of the `fit`.
        momentum_correction: Whether SGD's velocity follows the rate, as PyTorch's does;
            `schedule_hyperparameters` says how.

    Raises:
        ValueError: At construction, for a negative `decay_rate`. When training begins,
            if the optimizer was compiled with a schedule, or if nobody knows how many
            batches an epoch has.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.4), "mse")
    >>> x, y = np.ones((8, 4)), np.ones((8, 1))
    >>> decay = callbacks.TimeBasedDecay(0.5)
    >>> arguments = dict(batch_size=4, epochs=4, verbose=0, callbacks=[decay])
    >>> history = model.fit(x, y, **arguments)
    >>> [round(rate, 3) for rate in history.history["learning_rate"]]
    [0.4, 0.2, 0.133, 0.1]
    """

    def __init__(
        self, decay_rate: float | None = None, *, momentum_correction: bool = False
    ):
        super().__init__(momentum_correction=momentum_correction)
        self.decay_rate = decay_rate
        schedules.TimeBasedDecay(0.0, 0.0 if decay_rate is None else decay_rate)

    def schedules(self, optimizer, steps_per_epoch, epochs):
        rate, steps = compiled_learning_rate(optimizer), self.known(steps_per_epoch)
        decay = rate / epochs if self.decay_rate is None else self.decay_rate
        falling = schedules.TimeBasedDecay(rate, decay, update_steps=steps)
        return {"learning_rate": falling}

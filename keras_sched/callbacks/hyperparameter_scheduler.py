"""Any hyperparameter from any schedule."""

from keras_sched import schedules
from keras_sched._checks import check, one_of
from keras_sched._types import Rate
from keras_sched.callbacks.base import ScheduleCallback
from keras_sched.hyperparameters import SCHEDULABLE
from keras_sched.schedules import fields


class HyperparameterScheduler(ScheduleCallback):
    """Drives hyperparameters of the optimizer from schedules while `fit` runs.

    What the optimizer was compiled with comes back at the end. In the next `fit` the
    schedules begin again; with `initial_epoch`, or after a resume, they go on.

    Args:
        in_epochs: Whether the lengths in the schedules are epochs. If so, nobody has to
            know how many batches an epoch has.
        momentum_correction: Whether SGD's velocity follows the rate, as PyTorch's does;
            `schedule_hyperparameters` says how.
        **scheduled: For each hyperparameter a number or a schedule, of ours or of Keras:
            `learning_rate`, `momentum`, `beta_1`, `beta_2`, `rho`, `weight_decay`, as far
            as the optimizer was built with them.

    Raises:
        ValueError: At construction, for another name, or what is no schedule. When
            training begins, if the optimizer was not built with a hyperparameter, or if
            the schedules are in epochs and the data do not tell how long one is.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    >>> x, y = np.ones((8, 4)), np.ones((8, 1))
    >>> rate = Warmup(CosineAnnealing(0.4, total_steps=3), warmup_steps=1)
    >>> driver = callbacks.HyperparameterScheduler(
    ...     in_epochs=True, learning_rate=rate, momentum=0.5)
    >>> arguments = dict(batch_size=1, epochs=4, verbose=0, callbacks=[driver])
    >>> history = model.fit(x, y, **arguments)
    >>> [round(rate, 3) for rate in history.history["learning_rate"]]
    [0.35, 0.322, 0.123, 0.002]
    """

    def __init__(
        self,
        *,
        in_epochs: bool = False,
        momentum_correction: bool = False,
        **scheduled: Rate,
    ):
        super().__init__(momentum_correction=momentum_correction)
        check(scheduled, self, "learning_rate", "given, or another one", None)
        for name, schedule in scheduled.items():
            one_of(self, "hyperparameter", name, SCHEDULABLE)
            fields.rate(self, name, schedule)
        if in_epochs:
            for schedule in scheduled.values():
                schedules.in_epochs(schedule, 1)
        self.in_epochs, self.scheduled = in_epochs, scheduled

    def schedules(self, optimizer, steps_per_epoch, epochs):
        if not self.in_epochs:
            return dict(self.scheduled)
        steps = self.known(steps_per_epoch)
        return {n: schedules.in_epochs(s, steps) for n, s in self.scheduled.items()}

"""What the callbacks that drive the optimizer share."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import keras

from keras_sched import _fit_loop, _running_fit
from keras_sched._checks import check
from keras_sched._types import Rate
from keras_sched.hyperparameters import (
    batches_seen,
    last_used,
    schedule_hyperparameters,
)


class OptimizerCallback(keras.callbacks.Callback, abc.ABC):
    """Puts something into the compiled step while `fit` runs, and takes it out again.

    Nothing is done per batch. Each epoch's `logs` get the learning rate, and what else is
    driven, as its last step used them, for History, CSVLogger and TensorBoard where they
    come later in the list.
    """

    driven: tuple[str, ...] = ()  # What is logged beside the learning rate.

    @abc.abstractmethod
    def install(
        self, epoch: int
    ) -> tuple[Callable[[], None], Sequence[_fit_loop.Setting]]:
        """Puts it in, before the first step of `epoch`.

        Returns:
            Function that takes it out, and the settings it reads.
        """

    def on_train_begin(self, logs=None):
        _fit_loop.heal(self.model)
        self._installed = False

    def on_epoch_begin(self, epoch, logs=None):
        if not self._installed:
            undo, settings = self.install(epoch)
            _fit_loop.retrace(self.model, undo, settings)
            self._installed = True

    def on_epoch_end(self, epoch, logs=None):
        for name in ("learning_rate", *self.driven):
            logs[name] = last_used(self.model.optimizer, name)

    def on_train_end(self, logs=None):
        _fit_loop.finish(self.model)


class ScheduleCallback(OptimizerCallback):
    """Base of the callbacks that drive hyperparameters by schedules."""

    seed = 0  # Of the noise, where there is any.

    def __init__(self, *, momentum_correction: bool = False):
        super().__init__()
        self.momentum_correction = momentum_correction

    @abc.abstractmethod
    def schedules(
        self,
        optimizer: keras.optimizers.Optimizer,
        steps_per_epoch: int | None,
        epochs: int,
    ) -> Mapping[str, Rate]:
        """Returns what is to be driven in this `fit`: schedules by hyperparameter.

        Args:
            optimizer: The model's optimizer.
            steps_per_epoch: Batches in an epoch, or `None` where nobody knows.
            epochs: The epoch in which the `fit` ends, counted from the first there was.
        """

    def known(self, steps_per_epoch: int | None) -> int:
        """Returns `steps_per_epoch`, or refuses data that do not tell it."""
        must = "given to fit, as the data do not tell how many batches an epoch has"
        check(steps_per_epoch, self, "steps_per_epoch", must, steps_per_epoch)
        return cast(int, steps_per_epoch)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        steps, epochs = self.params["steps"], self.params["epochs"]
        self._schedules = self.schedules(self.model.optimizer, steps, epochs)
        self.driven = tuple(self._schedules)

    def install(self, epoch):
        optimizer, steps = self.model.optimizer, self.params["steps"]
        seen, before = batches_seen(optimizer), _running_fit.steps_before()
        begun = epoch * steps + before if steps else seen * (epoch + before > 0)
        handle = schedule_hyperparameters(
            optimizer,
            step_offset=begun - seen,
            momentum_correction=self.momentum_correction,
            seed=self.seed,
            **self._schedules,
        )
        return handle.remove, ()

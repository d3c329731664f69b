"""What the callbacks that drive hyperparameters share."""

import abc

import keras
from keras import ops

from keras_sched import _fit_loop
from keras_sched._checks import check
from keras_sched.hyperparameters import batches_seen, schedule_hyperparameters


class ScheduleCallback(keras.callbacks.Callback, abc.ABC):
    """Installs schedules while `fit` runs and takes them out again.

    The schedules are evaluated inside the compiled step; nothing is done per batch. Each
    epoch's `logs` get the values that its last step used, for History, CSVLogger and
    TensorBoard where they come later in the list.
    """

    def __init__(self, *, momentum_correction=False):
        super().__init__()
        self.momentum_correction = momentum_correction

    @abc.abstractmethod
    def schedules(self, optimizer, steps_per_epoch, epochs):
        """Returns what is to be driven in this `fit`: schedules by hyperparameter.

        Args:
            optimizer: The model's optimizer.
            steps_per_epoch: Batches in an epoch, or `None` where nobody knows.
            epochs: The epoch in which the `fit` ends, counted from the first there was.
        """

    def known(self, steps_per_epoch):
        """Returns `steps_per_epoch`, or refuses data that do not tell it."""
        must = "given to fit, as the data do not tell how many batches an epoch has"
        check(steps_per_epoch, self, "steps_per_epoch", must, steps_per_epoch)
        return steps_per_epoch

    def on_train_begin(self, logs=None):
        _fit_loop.heal(self.model)
        steps, epochs = self.params["steps"], self.params["epochs"]
        self._schedules = self.schedules(self.model.optimizer, steps, epochs)
        self._installed = False

    def on_epoch_begin(self, epoch, logs=None):
        if self._installed:
            return
        model, seen = self.model, batches_seen(self.model.optimizer)
        steps = self.params["steps"]
        begun = epoch * steps if steps else seen * (epoch > 0)
        self._step_offset = begun - seen
        handle = schedule_hyperparameters(
            model.optimizer,
            step_offset=self._step_offset,
            momentum_correction=self.momentum_correction,
            **self._schedules,
        )
        _fit_loop.retrace(model, undo=handle.remove)
        self._installed = True

    def on_epoch_end(self, epoch, logs=None):
        last = batches_seen(self.model.optimizer) - 1 + self._step_offset
        for name, schedule in self._schedules.items():
            now = schedule(last) if callable(schedule) else schedule
            logs[name] = float(ops.convert_to_numpy(now))

    def on_train_end(self, logs=None):
        _fit_loop.finish(self.model)

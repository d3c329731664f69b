"""A lower rate when it gets no better."""

from keras_sched import _fit_loop, _running_fit
from keras_sched._checks import check, integer, number
from keras_sched._monitor import Monitor
from keras_sched._types import Mode
from keras_sched.callbacks.base import OptimizerCallback
from keras_sched.hyperparameters import (
    check_correctable,
    scale_learning_rate,
    scale_velocity,
)


class PlateauScaling(OptimizerCallback):
    """Scales the learning rate down whenever the monitored value gets no better.

    It multiplies whatever gives the rate: the number or the schedule the optimizer was
    compiled with, or another callback's schedule, which go on as they were. Nothing is
    compiled again when the scale changes. `PlateauScaling(factor=0.5, patience=0)` is
    known as new bob.

    The scale is a function of the monitored values from the first epoch on. So it goes on
    where it was with `initial_epoch`, when this object saw the epochs before, and after a
    resume by `CheckpointEarlyStopping`, whose history has them. In the next `fit`, and
    once this one ends, it is 1.

    Args:
        monitor: Name in the logs. Epochs that `validation_freq` leaves out do not count.
        factor: What each plateau multiplies the scale by. Between 0 and 1.
        patience: Epochs without a better value after which that happens; 0 and 1 both
            say at the first.
        min_delta: Smallest change that counts as better. Not negative.
        mode: "min", "max", or "auto" to tell from the name.
        cooldown: Epochs after a plateau that patience does not count.
        min_scale: What the scale does not fall below. At least 0, below 1.
        momentum_correction: Whether SGD's velocity is scaled with the rate, as PyTorch's
            in effect is; `schedule_hyperparameters` says how.
        verbose: 0 for silence, 1 for a line at each plateau.

    Raises:
        ValueError: At construction, for an argument out of these bounds. When training
            begins, if the model has no such metric, or no velocity to correct.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.0), "mse")
    >>> x, y = np.ones((8, 4)), np.ones((8, 1))
    >>> plateau = callbacks.PlateauScaling("loss", factor=0.5, patience=2)
    >>> rate = callbacks.HyperparameterScheduler(learning_rate=StepDecay(8e-9, 0.5, 3))
    >>> arguments = dict(epochs=6, verbose=0, callbacks=[rate, plateau])
    >>> history = model.fit(x, y, **arguments).history
    PlateauScaling: no better loss for 2 epochs; the learning rate is scaled by 0.5
    PlateauScaling: no better loss for 2 epochs; the learning rate is scaled by 0.25
    >>> [round(rate * 1e9, 1) for rate in history["learning_rate"]]
    [8.0, 8.0, 8.0, 2.0, 2.0, 1.0]
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 5,
        *,
        min_delta: float = 1e-4,
        mode: Mode = "auto",
        cooldown: int = 0,
        min_scale: float = 0.0,
        momentum_correction: bool = False,
        verbose: int = 1,
    ):
        super().__init__()
        self.monitor, self._metric = monitor, Monitor(self, monitor, mode, min_delta)
        self.factor = number(self, "factor", factor)
        check(0 < factor < 1, self, "factor", "between 0 and 1", factor)
        self.patience = integer(self, "patience", patience)
        self.cooldown = integer(self, "cooldown", cooldown)
        self.min_scale = number(self, "min_scale", min_scale)
        check(0 <= min_scale < 1, self, "min_scale", "at least 0, below 1", min_scale)
        self.momentum_correction, self.verbose = momentum_correction, verbose
        self._values: dict[int, float] = {}  # By epoch.

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._metric.begin(self.model)
        if self.momentum_correction:
            check_correctable(self.model.optimizer)

    def install(self, epoch):
        resumed = self.model.history.history.get(self.monitor)
        values = self._values
        if resumed:
            judged = _running_fit.epochs_with(self.monitor, epoch)
            values = dict(zip(judged, resumed))
        self._values = {at: value for at, value in values.items() if at < epoch}
        known = epoch if _running_fit.steps_before() else epoch - 1
        before = [value for at, value in self._values.items() if at < known]
        self._scale = self._scale_after(before)
        self._setting = _fit_loop.Setting(self._scale)
        undo = scale_learning_rate(self.model.optimizer, self._setting)
        return undo, [self._setting]

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        before, self._scale = self._scale, self._scale_after(self._values.values())
        if self._scale == before:
            return
        self._setting.assign(self._scale)
        if self.momentum_correction:
            scale_velocity(self.model.optimizer, self._scale / before)
        if self.verbose:
            epochs = "1 epoch" if self.patience < 2 else f"{self.patience} epochs"
            why = f"no better {self.monitor} for {epochs}"
            told = f"{why}; the learning rate is scaled by {self._scale:g}"
            print(f"{type(self).__name__}: {told}", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        value = self._metric.value(logs)
        if value is not None:
            self._values[epoch] = value

    def _scale_after(self, values):
        """Returns the scale of the epoch after those with these monitored values."""
        scale, best, wait, cooldown = 1.0, None, 0, 0
        for value in values:
            wait += 1
            if self._metric.is_better(value, best):
                best, wait = value, 0
            if cooldown:
                cooldown, wait = cooldown - 1, 0
            if wait >= max(self.patience, 1):
                scale = max(scale * self.factor, self.min_scale)
                wait, cooldown = 0, self.cooldown
        return scale

"""Keeps the best and the last model, stops in time, and resumes after any end."""

import json
import math
import pathlib
import warnings
import zipfile

import keras
from keras import ops

from keras_sched import _atomic, _fit_loop, _random
from keras_sched._checks import check, integer, number, one_of
from keras_sched._monitor import Monitor

_STATE = "keras_sched.json"


class CheckpointEarlyStopping(keras.callbacks.Callback):
    """Keeps the best and the last model in a folder; stops; goes on after a crash.

    After each epoch `last.keras`, and if it is the best so far `best.keras`, are
    replaced as one whole: whoever kills the process finds the old file or the new one.
    Both are plain Keras models; the state of the run (epoch, best value, history, seeds
    and random generators) travels inside as one more member of the zip archive.

    Running the same script again goes on after the last finished epoch, with weights,
    optimizer slots, counters, patience and `History` as they were; a run that had
    finished trains no more. Give a folder to one run only.

    Args:
        directory: Folder of the files; made if it is not there.
        monitor: Name in the logs. Epochs that `validation_freq` leaves out do not count.
        mode: "min", "max", or "auto" to tell from the name.
        min_delta: Smallest change that counts as better. Not negative.
        patience: Epochs without a better value after which training stops. At least 1;
            `None` never stops.
        start_from_epoch: First epoch, counted from 0, that patience counts.
        restore_best: Whether the model has the best weights when training ends.
        resume: Whether to go on from what the folder holds. If not, a folder that holds
            a run is refused.
        stop_threshold: Value at which the goal is reached and training stops.
        on_nan: What to do when the monitored value is not finite, which is never
            better, and whose model is never saved: "stop", "ignore" or "raise".
        verbose: 0 for silence, 1 for a line at a resume and at the end.

    Attributes:
        best: Best value so far, or `None`.
        best_epoch: Its epoch, counted from 0, or `None`.
        best_path, last_path: `pathlib.Path`s of the two files.
        stop_reason: `None` while training, then "patience", "threshold", "not finite",
            or "finished" when all epochs were done.

    Raises:
        ValueError: At construction, for an argument out of bounds. When training begins,
            if the model has no such metric or the folder holds another model's run.

    >>> checkpoint = callbacks.CheckpointEarlyStopping(
    ...     directory, monitor="loss", verbose=0)
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.ones((32, 4)), np.ones((32, 1))
    >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=[checkpoint])
    >>> checkpoint.best_epoch, checkpoint.best_path.name, checkpoint.stop_reason
    (2, 'best.keras', 'finished')
    """

    def __init__(
        self,
        directory,
        *,
        monitor="val_loss",
        mode="auto",
        min_delta=0.0,
        patience=None,
        start_from_epoch=0,
        restore_best=True,
        resume=True,
        stop_threshold=None,
        on_nan="stop",
        verbose=1,
    ):
        super().__init__()
        self.directory = pathlib.Path(directory).expanduser().absolute()
        self.best_path = self.directory / "best.keras"
        self.last_path = self.directory / "last.keras"
        self.monitor = monitor
        self._metric = Monitor(self, monitor, mode, min_delta)
        self.patience = math.inf
        if patience is not None:
            self.patience = integer(self, "patience", patience, at_least=1)
        self.start_from_epoch = integer(self, "start_from_epoch", start_from_epoch)
        self.stop_threshold = stop_threshold
        if stop_threshold is not None:
            self.stop_threshold = number(self, "stop_threshold", stop_threshold)
        self.on_nan = one_of(self, "on_nan", on_nan, ("stop", "ignore", "raise"))
        self.restore_best, self.resume, self.verbose = restore_best, resume, verbose
        self._forget()

    def initial_epoch(self):
        """Returns the epoch that a `fit` would begin with: 0, or where a resume goes on.

        Data whose order depends on the epoch ask here where to begin:
        `tfrecord.load(..., epoch=checkpoint.initial_epoch())`.
        """
        found = self._newest() if self.resume else None
        return found[1]["epoch"] + 1 if found else 0

    def on_train_begin(self, logs=None):
        self._forget()
        self._metric.begin(self.model)
        self.directory.mkdir(parents=True, exist_ok=True)
        found = self._newest()
        free = "True, or the directory without a run in it"
        check(self.resume or not found, self, "resume", free, self.resume)
        if found:
            self._resume(*found)

    def on_epoch_begin(self, epoch, logs=None):
        _fit_loop.start_at_epoch(self.model, None)

    def on_epoch_end(self, epoch, logs=None):
        self._add_to_history(epoch, logs)
        if self.monitor not in logs:
            self._save(self.last_path, epoch)
        value = self._metric.value(logs)
        if value is None:
            return
        if not math.isfinite(value):
            self._meet_nan(value, epoch)
            return
        if self._metric.is_better(value, self.best):
            self.best, self.best_epoch, self._wait = value, epoch, 0
        elif epoch >= self.start_from_epoch:
            self._wait += 1
        self.stop_reason = self._reason_to_stop(value)
        if self.best_epoch == epoch:
            self._save(self.best_path, epoch)
        self._save(self.last_path, epoch)
        self.model.stop_training = bool(self.stop_reason) or self.model.stop_training

    def on_train_end(self, logs=None):
        _fit_loop.start_at_epoch(self.model, None)
        self.stop_reason = self.stop_reason or "finished"
        self.model.history.epoch = list(self._epochs)
        restored = self.restore_best and self.best is not None
        if restored:
            self._load(self.best_path)
        if self.verbose:
            self._say(self._summary(restored))

    def _forget(self):
        self.best = self.best_epoch = self.stop_reason = None
        self._wait = 0
        self._history, self._epochs = {}, []

    def _reason_to_stop(self, value):
        goal = self.stop_threshold
        if goal is not None and self._metric.sign * (goal - value) >= 0:
            return "threshold"
        return "patience" if self._wait >= self.patience else None

    def _meet_nan(self, value, epoch):
        finite = f"finite with on_nan='raise', but epoch {epoch + 1} ended with {value}"
        check(self.on_nan != "raise", self, "monitor", finite, self.monitor)
        if self.on_nan == "stop":
            self.stop_reason, self.model.stop_training = "not finite", True

    def _add_to_history(self, epoch, logs):
        self._epochs.append(epoch)
        for name, value in logs.items():
            self._history.setdefault(name, []).append(float(value))

    def _save(self, path, epoch):
        state = {
            "version": 1,
            "epoch": epoch,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "wait": self._wait,
            "stop_reason": self.stop_reason,
            "history": self._history,
            "epochs": self._epochs,
            "seeds": [_as_list(v) for v in _unsaved(self.model)],
            "random": _random.state(),
            "shapes": _shapes(self.model),
        }
        with _atomic.replacing(path, verify=_verify) as temporary:
            self.model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(_STATE, json.dumps(state))

    def _newest(self):
        """Returns path and state of the newest sound file, or `None`."""
        paths = [path for path in (self.last_path, self.best_path) if path.exists()]
        found = [(path, state) for path in paths if (state := self._read(path))]
        return max(found, key=lambda pair: pair[1]["epoch"], default=None)

    def _read(self, path):
        try:
            _verify(path)
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read(_STATE))
        except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
            self._say(f"{path.name} is damaged, or not of this callback: {error}")

    def _resume(self, path, state):
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        must = f"without the run of another model: {path} does not fit this one"
        same = state["shapes"] == _shapes(self.model)
        check(same, self, "directory", must, str(self.directory))
        self._load(path)
        for variable, value in zip(_unsaved(self.model), state["seeds"]):
            variable.assign(value)
        _random.restore(state["random"])
        self._history, self._epochs = state["history"], state["epochs"]
        earlier = {name: list(values) for name, values in self._history.items()}
        self.model.history.history = earlier
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self._wait, stopped = state["wait"], state["stop_reason"]
        self._trust_best_file()
        epochs, done = self.params["epochs"], state["epoch"] + 1
        if stopped or done >= epochs:
            self.stop_reason, done = stopped, max(done, epochs)
        elif self.verbose:
            self._say(f"goes on with epoch {done + 1} of {epochs}{self._best_so_far()}")
        _fit_loop.start_at_epoch(self.model, done)

    def _trust_best_file(self):
        """Takes the best from its own file, which may be an epoch ahead of the last."""
        best = self._read(self.best_path) if self.best_path.exists() else None
        if best:
            self.best, self.best_epoch = best["best"], best["best_epoch"]

    def _load(self, path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.model.load_weights(path)

    def _best_so_far(self):
        if self.best is None:
            return ""
        return f"; best {self.monitor} {self.best:.4g} in epoch {self.best_epoch + 1}"

    def _summary(self, restored):
        why = {
            "finished": "all epochs done",
            "patience": f"stopped: {self._wait} epochs without a better {self.monitor}",
            "threshold": f"stopped: {self.monitor} reached {self.stop_threshold}",
            "not finite": f"stopped: {self.monitor} was not finite",
        }[self.stop_reason]
        back = ", its weights restored" if restored else ""
        return f"{why}{self._best_so_far()}{back} ({self.best_path})"

    def _say(self, message):
        print(f"{type(self).__name__}: {message}", flush=True)


def _verify(path):
    """Raises unless every member of the archive is what was written."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"{damaged} does not match its checksum")


def _unsaved(model):
    """Returns the variables that `model.save` leaves out: the seeds' states."""
    saved = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in saved]


def _shapes(model):
    held = model.variables + model.optimizer.variables
    return [[list(variable.shape), str(variable.dtype)] for variable in held]


def _as_list(variable):
    return ops.convert_to_numpy(variable).tolist()

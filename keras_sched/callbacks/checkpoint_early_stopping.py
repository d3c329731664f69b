"""Keeps the best and the last model, stops in time, and resumes after any end."""

import dataclasses
import datetime
import math
import pathlib
import shutil
import time
from typing import Literal

import keras
from keras import ops

from keras_sched import (
    _checkpoints,
    _fit_loop,
    _processes,
    _random,
    _run_state,
    _running_fit,
)
from keras_sched._checks import check, integer, number, one_of
from keras_sched._lock import Lock
from keras_sched._monitor import Monitor
from keras_sched._progress import Progress
from keras_sched._run_folder import RunFolder
from keras_sched._signals import HeldSignals
from keras_sched._types import Mode, OnNan, PathLike
from keras_sched.callbacks.weight_averaging import averaging_beside
from keras_sched.hyperparameters import scale_learning_rate

_said: set[str] = set()  # What is said once in a process.


class CheckpointEarlyStopping(keras.callbacks.Callback):
    """Keeps the best and the last model in a folder; stops; goes on after any end.

    After each epoch `last.keras`, and if it is the best so far `best.keras`, are
    replaced as one whole: whoever kills the process finds the old file or the new one.
    What was the last before stays as `previous.keras`. All are plain Keras models; where
    two are the same, the disk has one (hard links). The state of the run (place, best
    value, history, seeds, metrics, random generators) travels inside, as members of the
    zip archive.

    Running the same script again goes on where the newest sound file was written, with
    weights, optimizer slots, counters, patience and `History` as they were; a run that
    had finished trains no more. In the middle of an epoch the batches that had been seen
    are passed over. Data whose order depends on the epoch must be told which it is:
    `tfrecord.load(..., epoch=checkpoint.initial_epoch())`. List it behind the callbacks
    that add to the logs: the history in its files has what stands there at its turn.

    SIGTERM and Ctrl-C save at the end of the step and leave, with exit code 143 or 130; a
    second one leaves at once. Not so in threads and interactive sessions, where Python
    gives signals to others. Of several processes that train one model together
    (`keras.distribution` on JAX) the first writes, and all read; signals end them.

    Args:
        directory: Folder of the files; made if it is not there. One run and one process
            at a time have it: another is refused.
        monitor: Name in the logs. Epochs that `validation_freq` leaves out do not count.
        mode: "min", "max", or "auto" to tell from the name.
        min_delta: Smallest change that counts as better. Not negative.
        patience: Epochs without a better value after which training stops. At least 1;
            `None` never stops.
        start_from_epoch: First epoch, counted from 0, that patience counts; or "peak":
            the first whose learning rate is not the highest so far, so that patience
            waits until one cycle, or a warm-up, has passed its peak.
        keep: How many of the best models are kept. Above 1, `epoch-0007.keras` and so on
            are the best so many, by value; without `min_delta` `best.keras` is one.
        save_every: "epoch"; or also within epochs, an integer number of steps or a
            `datetime.timedelta`.
        restore_best: Whether the model has the best weights when training ends.
        resume: Whether to go on from what the folder holds. If not, a folder that holds
            a run is refused.
        stop_threshold: Value at which the goal is reached and training stops.
        on_nan: What to do when the monitored value or a weight is not finite. Such a
            model is never better and never saved. "stop"; "raise"; "ignore"; or
            "rollback": weights and slots are again what the last file has, the learning
            rate is scaled, and training goes on. Counters go on too: the epoch is lost.
        rollback_factor: What each rollback multiplies the learning rate by. Between 0
            and 1.
        max_rollbacks: How many rollbacks there may be before it stops. At least 1.
        verbose: 0 for silence, 1 for a line at a resume, a rollback and the end.

    Attributes:
        best: Best value so far, or `None`.
        best_epoch: Its epoch, counted from 0, or `None`.
        best_path, last_path: `pathlib.Path`s of the two files.
        stop_reason: `None` while training, then "patience", "threshold", "not finite",
            "stopped" by another callback, or "finished" when all epochs were done.

    Raises:
        ValueError: At construction, for an argument out of bounds. When training begins,
            if the model has no such metric or cannot be saved, if another process has the
            folder, if its disk has no room, or if it holds the run of another model, or
            files of these names that another has made.

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
        directory: PathLike,
        *,
        monitor: str = "val_loss",
        mode: Mode = "auto",
        min_delta: float = 0.0,
        patience: int | None = None,
        start_from_epoch: int | Literal["peak"] = 0,
        keep: int = 1,
        save_every: int | Literal["epoch"] | datetime.timedelta = "epoch",
        restore_best: bool = True,
        resume: bool = True,
        stop_threshold: float | None = None,
        on_nan: OnNan = "stop",
        rollback_factor: float = 0.5,
        max_rollbacks: int = 3,
        verbose: int = 1,
    ):
        super().__init__()
        self.directory = pathlib.Path(directory).expanduser().absolute()
        self.monitor = monitor
        self._metric = Monitor(self, monitor, mode, min_delta)
        self.keep = integer(self, "keep", keep, at_least=1)
        self._files = RunFolder(self.directory, self.keep, self._metric, self._say)
        self.best_path, self.last_path = self._files.best, self._files.last
        self.patience = math.inf
        if patience is not None:
            self.patience = integer(self, "patience", patience, at_least=1)
        self.start_from_epoch = start_from_epoch
        if start_from_epoch != "peak":
            integer(self, "start_from_epoch", start_from_epoch)
        self.save_every = self._read_save_every(save_every)
        self.stop_threshold = stop_threshold
        if stop_threshold is not None:
            self.stop_threshold = number(self, "stop_threshold", stop_threshold)
        self.on_nan = one_of(self, "on_nan", on_nan, OnNan)
        self.rollback_factor = number(self, "rollback_factor", rollback_factor)
        within = 0 < rollback_factor < 1
        check(within, self, "rollback_factor", "between 0 and 1", rollback_factor)
        self.max_rollbacks = integer(self, "max_rollbacks", max_rollbacks, at_least=1)
        self.restore_best, self.resume, self.verbose = restore_best, resume, verbose
        self._lock = Lock(self.directory, lambda: _running_fit.runs_anywhere(self))
        self._signals = HeldSignals(lambda frame: _running_fit.has(self, frame))
        self._begins_there = False
        self._forget()

    @property
    def best(self) -> float | None:
        return self._progress.best

    @property
    def best_epoch(self) -> int | None:
        return self._progress.best_epoch

    @property
    def stop_reason(self) -> str | None:
        return self._progress.stop_reason

    def initial_epoch(self) -> int:
        """Returns the epoch that a `fit` would begin with: 0, or where a resume goes on.

        Data whose order depends on the epoch ask here where to begin:
        `tfrecord.load(..., epoch=checkpoint.initial_epoch())`. Batches that had been seen
        are read again, and passed over.
        """
        return self._found().epoch

    def position(self) -> dict[str, int]:
        """Returns where a `fit` would begin, for data that begin there themselves.

        Then nothing is passed over. With `steps_per_epoch` in `fit`,
        `tfrecord.load(..., repeat=None, **checkpoint.position())` reads nothing in vain.

        Returns:
            Dict of "epoch" and "step", both counted from 0.
        """
        found, self._begins_there = self._found(), True
        step = 0 if found.trained else found.step
        return {"epoch": found.epoch + found.trained, "step": step}

    def on_train_begin(self, logs=None):
        self._forget()
        self._metric.begin(self.model)
        _checkpoints.check_savable(self.model, self)
        many = _processes.count() > 1 and isinstance(self.save_every, datetime.timedelta)
        must = "steps or 'epoch' where several processes train together"
        check(not many, self, "save_every", must, self.save_every)
        free = self.directory.is_dir() or not self.directory.exists()
        check(free, self, "directory", "a folder, or free", str(self.directory))
        self.directory.mkdir(parents=True, exist_ok=True)
        other = _processes.is_chief() and self._lock.take()
        alone = f"one that nobody else trains in; {other} does"
        check(not other, self, "directory", alone, str(self.directory))
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise

    def on_epoch_begin(self, epoch, logs=None):
        _running_fit.start_at_epoch(self.model, None)
        self._progress.epoch, self._batch = epoch, 0
        if self.on_nan == "rollback" and not self._scale:
            self._install_scale()
        if self._resumed:
            _random.restore(self._resumed["random"])
            _run_state.assign(self.model.metrics_variables, self._resumed["metrics"])
        self._in_epoch = True

    def on_train_batch_begin(self, batch, logs=None):
        if self._resumed and self._go_on_in_the_middle():
            pass
        elif self._signals.received:
            self._leave(batch)
        elif batch and self._is_due(batch):
            self._save_step(batch)
        self._batch = batch

    def on_test_begin(self, logs=None):
        if self._in_epoch:
            if self._random:
                _random.restore(self._random)
                self._random = None
            self._averaging.close_epoch()
            logs = {"logs": _running_fit.epoch_logs()}
            self._before_test = _run_state.capture(self.model, in_epoch=True) | logs
            if self._is_due(self._batch + 1):
                self._save_step(self._batch + 1, trained=True)

    def on_test_batch_begin(self, batch, logs=None):
        if self._in_epoch and self._signals.received:
            self._leave(self._batch + 1, trained=True)

    def on_epoch_end(self, epoch, logs=None):
        self._in_epoch = False
        self._averaging.close_epoch()
        self._progress.finish_epoch(logs)
        sound = _run_state.is_finite(self.model)
        if sound and self.monitor not in logs:
            self._save()
        value = self._metric.value(logs)
        if not sound or not math.isfinite(value or 0):
            self._meet_nan(f"epoch {epoch + 1} ended with {self.monitor} {value}")
        elif value is not None:
            self._judge(value)
        self.model.stop_training = bool(self.stop_reason) or self.model.stop_training
        if self._signals.received:
            self._leave(0)

    def on_train_end(self, logs=None):
        _running_fit.start_at_epoch(self.model, None)
        self._averaging.finish()
        all_done = self._progress.epoch >= self.params["epochs"]
        other = "finished" if all_done else "stopped"
        self._progress.stop_reason = self.stop_reason or other
        self.model.history.epoch = list(self._progress.epochs)
        restored = self.restore_best and self.best is not None
        _processes.wait_for_all("best")
        if restored:
            _run_state.load(self.model, self.best_path)
        if self._scale:
            _fit_loop.finish(self.model)
        self._lock.release()
        self._begins_there = False
        if self.verbose:
            self._say(self._summary(restored))
        if self._signals.received:
            self._signals.obey()
        self._signals.stop()

    def _forget(self):
        self._progress, self._resumed, self._scale = Progress(), None, None
        self._in_epoch, self._batch = False, 0
        self._before_test = self._random = None
        self._saved_at, self._saved_place = time.monotonic(), None

    def _read_save_every(self, value):
        if isinstance(value, datetime.timedelta):
            check(value.total_seconds() > 0, self, "save_every", "above 0", value)
        elif value != "epoch":
            whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
            must = "'epoch', an integer of at least 1, or a datetime.timedelta"
            check(whole, self, "save_every", must, value)
        return value

    # How it begins.

    def _begin(self):
        self._averaging = averaging_beside(self)
        chief = _processes.is_chief()
        found = self._files.begin() if chief else None
        _processes.wait_for_all("files")
        found = found if chief else self._files.newest()
        free = "True, or the directory without a run in it"
        check(self.resume or not found, self, "resume", free, self.resume)
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        size, free = _run_state.nbytes(self.model), shutil.disk_usage(self.directory).free
        must = f"on a disk with room for a model of {size:,} bytes, but {free:,} are free"
        check(free > size, self, "directory", must, str(self.directory))
        if found:
            self._resume(*found)
        elif self.on_nan == "rollback":
            self._save()
        _processes.wait_for_all("begin")
        together = "trained in several processes" * (_processes.count() > 1)
        why = together or self._signals.start()
        if why and self.verbose and why not in _said:
            _said.add(why)
            self._say(f"{why}; SIGTERM and Ctrl-C do not wait for a checkpoint")

    def _resume(self, path, state):
        must = f"without the run of another model: {path} does not fit this one"
        same = _run_state.fits(self.model, state)
        check(same, self, "directory", must, str(self.directory))
        name, mode = state["judged_by"]
        must = f"{name!r}, mode {mode!r}, by which the run in the directory was judged"
        check([name, mode] == self._judged_by(), self, "monitor", must, self.monitor)
        arrays = _checkpoints.arrays(path)
        must = "among the callbacks, as in the run in the directory"
        known = self._averaging or not arrays
        check(known, self, "WeightAveraging", must, "a fit without it")
        _run_state.load(self.model, path)
        _run_state.restore_seeds(self.model, state)
        self._averaging.resume(arrays, closed=state["trained"])
        self._progress = done = Progress.of(state)
        earlier = {name: list(values) for name, values in done.history.items()}
        self.model.history.history = earlier
        if done.best_epoch is not None and _processes.is_chief():
            self._files.find_best(done)
        epochs = self.params["epochs"]
        if done.stop_reason or done.epoch >= epochs:
            done.stop_reason = done.stop_reason or "finished"
            _running_fit.start_at_epoch(self.model, max(done.epoch, epochs))
            return
        self._resumed, self._saved_place = state, done.place
        _running_fit.start_at_epoch(self.model, done.epoch)
        if done.step:
            _running_fit.build_metrics(self.model)
            skips, empty = not self._begins_there, done.trained
            _running_fit.start_at_step(done.step - empty, skips, empty)
        if self.verbose:
            step = f", step {done.step + 1}" if done.step and not done.trained else ""
            step = ", its validation" if done.trained else step
            place = f"epoch {done.epoch + 1} of {epochs}{step}"
            self._say(f"goes on with {place}{self._best_so_far()}")

    def _go_on_in_the_middle(self):
        """Puts back, at the first step, what has been drawn since the epoch began.

        Returns:
            Whether that step is none, as all are done.
        """
        resumed, self._resumed = self._resumed, None
        if resumed["trained"]:
            self._random = resumed["random"]  # For the validation.
            _running_fit.pass_over_next_step(self.model, resumed["logs"])
        elif resumed["step"]:
            _random.restore(resumed["random"])
        return resumed["trained"]

    def _judged_by(self):
        return [self.monitor, "min" if self._metric.sign > 0 else "max"]

    def _found(self):
        found = self._files.newest() if self.resume else None
        return Progress.of(found[1]) if found else Progress()

    # What is saved, and when.

    def _is_due(self, step):
        if isinstance(self.save_every, datetime.timedelta):
            return time.monotonic() - self._saved_at >= self.save_every.total_seconds()
        every = self.save_every
        return every != "epoch" and step // every > self._batch // every

    def _judge(self, value):
        """Notes a value that is finite, and saves the model under the names it earns."""
        done = self._progress
        rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        best = done.judge(value, self._metric, rate, self.start_from_epoch)
        goal = self.stop_threshold
        if goal is not None and self._metric.sign * (goal - value) >= 0:
            done.stop_reason = "threshold"
        elif done.wait >= self.patience:
            done.stop_reason = "patience"
        self._save(best=best, value=value)

    def _save_step(self, step, trained=False):
        """Saves in mid-epoch; returns whether there was something sound to save."""
        if (self._progress.epoch, trained, step) == self._saved_place:
            return True
        if not _run_state.is_finite(self.model):
            if not self._signals.received:
                what = f"a weight is not finite in epoch {self._progress.epoch + 1}"
                self._meet_nan(what)
            return False
        self._progress.stand_at(step, trained)
        self._save()
        self._progress.stand_at(0)
        return True

    def _save(self, **earned):
        done, state = self._progress, self._before_test
        if not done.trained:
            state = _run_state.capture(self.model, in_epoch=done.step > 0)
        state = dataclasses.asdict(done) | state | {"judged_by": self._judged_by()}
        with self._averaging.averaged() as arrays:
            if _processes.is_chief():
                self._files.save(self.model, state, arrays, **earned)
            else:
                _checkpoints.take_part(self.model)
        self._saved_at, self._saved_place = time.monotonic(), self._progress.place

    def _leave(self, step, trained=False):
        """Saves what is not saved yet, and lets the signal have its way."""
        name = self._signals.received.name
        sound = self._save_step(step, trained)
        if self.verbose:
            what = "all is saved" if sound else "what was sound is saved"
            self._say(f"{name}: {what}, and the same script goes on from here")
        try:
            self._signals.obey()
        except BaseException:
            self._lock.release()
            raise
        self._signals.start()

    # What is not finite.

    def _meet_nan(self, what):
        finite = f"finite with on_nan='raise', but {what}"
        check(self.on_nan != "raise", self, "monitor", finite, self.monitor)
        if self.on_nan == "ignore":
            return
        if self.on_nan == "stop" or self._progress.rollbacks == self.max_rollbacks:
            self._progress.stop_reason, self.model.stop_training = "not finite", True
        else:
            self._roll_back(what)

    def _roll_back(self, what):
        _processes.wait_for_all("rollback")
        path, _ = self._files.newest()
        _run_state.load_floats(self.model, path)
        self._averaging.resume(_checkpoints.arrays(path))
        self._progress.rollbacks += 1
        self._scale.assign(self._factor())
        if self._in_epoch:
            self.model.reset_metrics()  # Of which one would stay what it is.
        else:
            self._save()
        if self.verbose:
            back = f"weights are those of {path.name} again"
            scaled = f"the learning rate is scaled by {self._factor():g}"
            self._say(f"{what}; {back}, and {scaled}")

    def _install_scale(self):
        self._scale = _fit_loop.Setting(self._factor())
        undo = scale_learning_rate(self.model.optimizer, self._scale)
        _fit_loop.retrace(self.model, undo, [self._scale])

    def _factor(self):
        return self.rollback_factor**self._progress.rollbacks

    # What it says.

    def _best_so_far(self):
        if self.best is None:
            return ""
        return f"; best {self.monitor} {self.best:.4g} in epoch {self.best_epoch + 1}"

    def _summary(self, restored):
        waited = self._progress.wait
        why = {
            "finished": "all epochs done",
            "stopped": "stopped by another callback",
            "patience": f"stopped: {waited} epochs without a better {self.monitor}",
            "threshold": f"stopped: {self.monitor} reached {self.stop_threshold}",
            "not finite": f"stopped: {self.monitor} was not finite",
        }[self.stop_reason]
        back = ", its weights restored" if restored else ""
        return f"{why}{self._best_so_far()}{back} ({self.best_path})"

    def _say(self, message):
        print(f"{type(self).__name__}: {message}", flush=True)

"""A model at the end of each of several cosine cycles, after Huang et al. 2017."""

import pathlib
import re
from typing import Any

import keras

from keras_sched import _atomic, _checkpoints, _running_fit, schedules
from keras_sched._checks import check, integer
from keras_sched._types import Activation, PathLike
from keras_sched.callbacks.base import ScheduleCallback
from keras_sched.callbacks.weight_averaging import averaging_beside
from keras_sched.ensembling import ensemble
from keras_sched.hyperparameters import compiled_learning_rate

_STATE = "snapshot_of_epoch"
_NAME = re.compile(r"snapshot-([1-9][0-9]*)\.keras")


class SnapshotEnsemble(ScheduleCallback):
    """Trains an ensemble for the price of one model: a snapshot at each cycle's end.

    The rate falls along `schedules.CosineAnnealing` in `cycles` equal cycles over all
    epochs of the `fit`. With the last step of each, `snapshot-1.keras` and so on, plain
    Keras models with their optimizer, are written as one whole. `predict` averages what
    they predict. From Huang et al., "Snapshot Ensembles: Train 1, Get M for Free" (2017).

    With `initial_epoch`, or after a resume, the cycles go on, and the snapshots there are
    kept. With `CheckpointEarlyStopping` before or behind it in the list, a run that was
    killed at any moment and is run again ends with the same snapshots: one that a cycle's
    end lacks is taken from the model as it stands there. Give a folder to one run only.
    A `fit` that begins at epoch 0 is another run: it is refused a folder with snapshots
    (but for that of a first cycle of one epoch, which it may have died behind), unless
    `overwrite` removes them.

    Beside `WeightAveraging` they have the averaged weights, as what is evaluated has.

    Args:
        directory: Folder of the snapshots; made if it is not there.
        cycles: How many. At least 1; the epochs of the `fit` must be a multiple of it.
        max_learning_rate: Where each cycle begins. `None`: the rate that the optimizer
            was compiled with, which comes back at the end.
        min_learning_rate: Where each cycle ends. Not negative.
        overwrite: Whether a `fit` from epoch 0 removes the snapshots in the folder before
            its first step. Other files are never touched.
        momentum_correction: Whether SGD's velocity follows the rate, as PyTorch's does;
            `schedule_hyperparameters` says how.
        verbose: 0 for silence, 1 for a line at the end.

    Attributes:
        directory: `pathlib.Path` of the folder.
        paths: Tuple of the `pathlib.Path`s of the snapshots there are, first to last.

    Raises:
        ValueError: At construction, for an argument out of bounds. When training begins,
            if the epochs are no multiple of `cycles`, if the optimizer was compiled with
            a schedule and no `max_learning_rate` is given, or if nobody knows how many
            batches an epoch has. Before the first step, if the folder holds snapshots of
            another run, or lacks one that can no longer be taken.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> model.compile(keras.optimizers.SGD(0.4), "mse")
    >>> x, y = np.ones((32, 4)), np.ones((32, 3))
    >>> snapshots = callbacks.SnapshotEnsemble(directory, cycles=2, verbose=0)
    >>> arguments = dict(batch_size=8, epochs=4, verbose=0, callbacks=[snapshots])
    >>> history = model.fit(x, y, **arguments)
    >>> [round(rate, 3) for rate in history.history["learning_rate"]]
    [0.277, 0.015, 0.277, 0.015]
    >>> [path.name for path in snapshots.paths]
    ['snapshot-1.keras', 'snapshot-2.keras']
    >>> snapshots.predict(x, verbose=0).shape
    (32, 3)
    """

    def __init__(
        self,
        directory: PathLike,
        cycles: int,
        *,
        max_learning_rate: float | None = None,
        min_learning_rate: float = 0.0,
        overwrite: bool = False,
        momentum_correction: bool = False,
        verbose: int = 1,
    ):
        super().__init__(momentum_correction=momentum_correction)
        self.directory = pathlib.Path(directory).expanduser().absolute()
        self.cycles = integer(self, "cycles", cycles, at_least=1)
        self.max_learning_rate = max_learning_rate
        self.min_learning_rate = min_learning_rate
        self.overwrite, self.verbose = overwrite, verbose
        given = max_learning_rate is not None
        self._annealing(max_learning_rate if given else min_learning_rate, self.cycles)

    @property
    def paths(self) -> tuple[pathlib.Path, ...]:
        every = (self._path(number) for number in range(1, self.cycles + 1))
        return tuple(path for path in every if path.exists())

    def models(self) -> list[keras.Model]:
        """Returns the models of `paths`, as `Ensemble.models` does."""
        return ensemble(self.paths).models()

    def predict(self, x: Any, *, activation: Activation | None = None, **how: Any) -> Any:
        """Returns the mean of what the models of `paths` predict, as `Ensemble.predict`.

        Args:
            x: What `model.predict` takes and each model can go through anew.
            activation: What outputs go through first: "softmax" where they are logits.
            **how: As in `model.predict`.
        """
        return ensemble(self.paths).predict(x, activation=activation, **how)

    def schedules(self, optimizer, steps_per_epoch, epochs):
        steps = self.known(steps_per_epoch)
        must = f"a multiple of its {self.cycles} cycles"
        check(epochs % self.cycles == 0, self, "epochs", must, epochs)
        rate = self.max_learning_rate
        if rate is None:
            rate = compiled_learning_rate(optimizer)
        return {"learning_rate": self._annealing(rate, epochs * steps)}

    def set_model(self, model):
        super().set_model(model)
        self._before_resume = self._history()

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        _checkpoints.check_savable(self.model, self)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._complete(self._epochs_resumed())

    def on_epoch_begin(self, epoch, logs=None):
        if not self._installed:
            anew = epoch == 0 and _running_fit.steps_before() == 0
            self._begin_anew() if anew else self._go_on(epoch)
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        number, rest = divmod(epoch + 1, self._epochs_each())
        if rest == 0:
            self._save(number)

    def on_train_end(self, logs=None):
        if not self._installed:
            self._complete(self._epochs_resumed())
        super().on_train_end(logs)
        if self.verbose:
            found = f"{len(self.paths)} of {self.cycles} snapshots in {self.directory}"
            print(f"{type(self).__name__}: {found}", flush=True)

    def _annealing(self, rate, steps):
        shape = dict(cycles=self.cycles, min_learning_rate=self.min_learning_rate)
        return schedules.CosineAnnealing(rate, steps, **shape)

    def _epochs_each(self):
        return self.params["epochs"] // self.cycles

    def _path(self, number):
        return self.directory / f"snapshot-{number}.keras"

    def _history(self):
        return getattr(getattr(self.model, "history", None), "history", {})

    def _epochs_resumed(self):
        """Returns after how many epochs another callback's resume has put the model.

        0 where there was none in this `fit`: a resume brings back a history, too.
        """
        history = self._history()
        resumed = history is not self._before_resume
        return max(map(len, history.values()), default=0) if resumed else 0

    def _begin_anew(self):
        found = {number: self._epoch_of(number) for number in self._numbers()}
        if self._epochs_each() == 1 and found == {1: 0}:
            return
        must = "without snapshots when a fit begins at epoch 0, or overwrite=True"
        check(self.overwrite or not found, self, "directory", must, str(self.directory))
        for number in found:
            _atomic.remove(self._path(number))

    def _go_on(self, epoch):
        self._complete(epoch)
        for number in range(1, epoch // self._epochs_each() + 1):
            path = self._path(number)
            must = f"one with {path.name}, as the cycle is over when this fit begins"
            check(path.exists(), self, "directory", must, str(self.directory))

    def _complete(self, epoch):
        """Takes the snapshot that is lacking, where a cycle ends just before `epoch`.

        Refuses snapshots that are not from the ends of this run's cycles.
        """
        if epoch == 0:
            return
        each = self._epochs_each()
        must = f"of a run with cycles of {each} epochs; snapshot {{}} is not"
        for number in self._numbers():
            fits, told = self._epoch_of(number) == number * each - 1, must.format(number)
            check(fits, self, "directory", told, str(self.directory))
        number, rest = divmod(epoch, each)
        begins = rest == 0 and _running_fit.steps_before() == 0
        if begins and not self._path(number).exists():
            self._save(number)

    def _numbers(self):
        names = (_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def _epoch_of(self, number):
        path = self._path(number)
        try:
            epoch = (_checkpoints.state(path) or {}).get(_STATE)
        except _checkpoints.DamagedError:
            epoch = None
        must = f"without {path.name}, which is damaged or was not written by this"
        check(epoch is not None, self, "directory", must, str(self.directory))
        return epoch

    def _save(self, number):
        state = {_STATE: number * self._epochs_each() - 1}
        averaging = averaging_beside(self)
        averaging.close_epoch()
        with averaging.averaged():
            _checkpoints.write(self._path(number), self.model, state, arrays={})

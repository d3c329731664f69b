"""The process that tries all points: it forks for each run, and runs nothing itself."""

import contextlib
import functools
import gc
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile
import zipfile
from typing import NamedTuple

import faults
import keras
import small_run

EPOCHS, HELD = 3, 2
SECONDS = 60
MEMORY = pathlib.Path("/dev/shm")  # A disk in memory flushes at once.


def main():
    """Tells the names of all ways, and then what each line that it is sent asks for."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as root:
        root = pathlib.Path(root).resolve()
        trials = functools.cache(functools.partial(Trial, root))
        _warm_up(root / "warm")
        _tell(list(small_run.WAYS))
        for line in sys.stdin:
            task, layer, way, begin, *rest = json.loads(line)
            _tell(getattr(trials(layer, way, begin), task)(*rest))


def _tell(answer):
    print(json.dumps(answer), flush=True)


def _warm_up(folder):
    """Does beforehand what every child would do, as far as that starts no thread."""
    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)
        small_run.train("ours", folder, 1)
    gc.collect()
    gc.freeze()  # A collection in a child would copy all that it looks at.


class Outcome(NamedTuple):
    """How a run ended; if it finished, its first epoch and a digest of its end."""

    ended: str
    began: int = 0
    end: str = ""
    message: str = ""


class Place:
    """A folder for a run, and beside it what is known of the run from outside."""

    def __init__(self, root, layer=None):
        self.root, self.layer = root, layer
        self.folder, self.log = root / "run", root / "log"
        self._saved, self._told = root / "saved", root / "told"
        self.root.mkdir(exist_ok=True)

    @contextlib.contextmanager
    def copied(self):
        """Gives a copy, and removes it after."""
        root = self.root.with_suffix(".copy")
        try:
            yield Place(shutil.copytree(self.root, root), self.layer)
        finally:
            shutil.rmtree(root)

    def names(self):
        return set(os.listdir(self.folder)) if self.folder.exists() else set()

    def saved(self):
        """Returns how many epochs have been reported as saved."""
        return int(self._saved.read_text()) if self._saved.exists() else 0

    def torn(self):
        """Returns the names of models that cannot be read."""
        models = sorted(self.folder.glob("[!.]*.keras"))
        return [path.name for path in models if not _is_whole(path)]

    def run(self, way, *, stop=None, kind="none", at=0):
        """Runs the script in a child, which meets a fault; returns the `Outcome`."""
        self._told.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
        process = os.fork()
        if not process:
            try:
                outcome = self._outcome(way, Saved(self._saved, stop), kind, at)
                self._told.write_text(json.dumps(outcome))
            finally:
                os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status == -signal.SIGKILL:
            return Outcome("killed")
        if status < 0:
            return Outcome(signal.Signals(-status).name)
        return Outcome(*json.loads(self._told.read_text()))

    def _outcome(self, way, saved, kind, at):
        signal.alarm(SECONDS)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        faults.arm(self.folder, kind, at, self.log, self.layer)
        try:
            trained = small_run.train(way, self.folder, EPOCHS, saved)
            return Outcome("finished", *trained)
        except OSError as error:
            return Outcome("OSError", message=str(error))
        except BaseException as error:
            return Outcome(type(error).__name__, message=str(error))


class Saved(keras.callbacks.Callback):
    """Reports after each epoch that it has been saved; it comes after what saves."""

    def __init__(self, path, stop):
        super().__init__()
        self.path, self.stop = path, stop

    def on_epoch_end(self, epoch, logs=None):
        self.path.write_text(str(epoch + 1))

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.stop:
            os.kill(os.getpid(), signal.SIGKILL)


class Trial:
    """One way to keep a run and one beginning, and what it takes to judge it."""

    def __init__(self, root, layer, way, begin):
        self.root, self.way, self.begin = root / f"{layer} {way} {begin}", way, begin
        self.root.mkdir()
        self.start = Place(self.root / "start", layer)
        if begin == "overwriting":
            self.start.run(way, stop=HELD)

    def operations(self):
        """Returns the `faults.Operation`s of a run that meets no fault."""
        return self._unharmed[0]

    def points(self, kind, every):
        """Returns the fields of a `judge.Point` each, but the first."""
        numbered = enumerate(self.operations(), start=1)
        met = [pair for pair in numbered if pair[1].fails_by(kind)]
        return [(*pair, *self._judged(kind, pair[0])) for pair in met[::every]]

    def _judged(self, kind, at):
        with self.start.copied() as place:
            ended = place.run(self.way, kind=kind, at=at).ended
            saved, torn = place.saved(), place.torn()
            again, names = place.run(self.way), place.names()
        wrote = again.ended == "finished"
        litter = names - self._straight[1] if wrote else ()
        return ended, torn, self._verdict(again, saved), again.message, sorted(litter)

    def _verdict(self, again, saved):
        if again.ended != "finished":
            return "could not go on"
        if again.end not in self._right_ends:
            return "ended wrong"
        return "lost epochs" if again.began < saved else "right"

    @functools.cached_property
    def _unharmed(self):
        """The operations and the end of a run that meets no fault."""
        with self.start.copied() as place:
            end = _finished(place.run(self.way)).end
            return faults.operations(place.log), end

    @functools.cached_property
    def _straight(self):
        """The end of a run that nothing disturbs at all, and the names of its files."""
        place = Place(self.root / "straight")
        return _finished(place.run(self.way)).end, place.names()

    @functools.cached_property
    def _right_ends(self):
        """How a run may end: as if only stopped between two epochs, if stopped at all."""
        if self.way in small_run.EXACT:
            return {self._straight[0]}
        stops = range(1, EPOCHS) if self.begin == "whole" else ()
        return {self._straight[0], self._unharmed[1], *map(self._end_after, stops)}

    def _end_after(self, stop):
        place = Place(self.root / f"stopped {stop}")
        place.run(self.way, stop=stop)
        return _finished(place.run(self.way)).end


def _is_whole(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return "model.weights.h5" in archive.namelist() and not archive.testzip()
    except (zipfile.BadZipFile, OSError):
        return False


def _finished(outcome):
    if outcome.ended != "finished":
        raise RuntimeError(f"A run without a fault ended by {outcome}")
    return outcome

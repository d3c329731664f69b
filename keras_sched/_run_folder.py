"""The files of a run: which there are, which is the newest sound one, which are kept."""

import itertools
import re

from keras_sched import _atomic, _checkpoints
from keras_sched._checks import check
from keras_sched._progress import Progress

_KEPT = re.compile(r"epoch-(\d{4,})\.keras")


class RunFolder:
    """The checkpoints of one run in a folder.

    Args:
        directory: Absolute path of the folder.
        keep: How many of the best are kept; above 1 under names of their own.
        metric: `Monitor` that tells which value is better.
        tell: Function that says a line.
    """

    def __init__(self, directory, keep, metric, tell):
        self.directory, self.keep, self.metric, self.tell = directory, keep, metric, tell
        self.best, self.last = directory / "best.keras", directory / "last.keras"
        self.previous = directory / "previous.keras"
        self._kept = {}  # Values by path.

    def newest(self):
        """Returns path and state of the newest sound file, or `None`."""
        found = ((path, state) for path, state in self._by_age() if _is_sound(path))
        return next(found, None)

    def begin(self):
        """Sets aside what is damaged, refuses what another has made, puts the rest right.

        Returns:
            What `newest` does.
        """
        for path in self._paths():
            try:
                state = path.is_file() and self._state(path)
                must = f"without a {path.name} that another has made"
                check(state, self.metric.owner, "directory", must, str(self.directory))
                _checkpoints.verify(path)
            except _checkpoints.DamagedError as error:
                aside = _free(path.with_name(f"{path.name}.damaged"))
                _atomic.rename(path, aside)
                self.tell(f"{path.name} is damaged ({error}), and is {aside.name} now")
        for leftover in self.directory.glob(".*~*.tmp.keras"):
            path = self.directory / f"{leftover.name[1:].split('~')[0]}.keras"
            if path in (self.last, self.best, self.previous) or _is_kept(path):
                _atomic.sweep(path)
        there = dict(self._by_age())
        newest = next(iter(there), self.last)
        if newest != self.last:  # Killed when it had only some of its names.
            _atomic.link(newest, self.last)
        kept = {path: state["value"] for path, state in there.items() if _is_kept(path)}
        self._kept = kept if self.keep > 1 else {}
        return next(iter(there.items()), None)

    def find_best(self, progress):
        """Puts the best model that `progress` knows under its name, wherever it is.

        Where it is lost, `progress` is told of the best there is.
        """
        there = {p: Progress.of(state) for p, state in self._by_age()}
        if self.best in there and there[self.best].best_epoch == progress.best_epoch:
            return
        for path, one in there.items():
            if one.place == (progress.best_epoch + 1, False, 0):
                _atomic.link(path, self.best)
                return
        one = there.get(self.best, Progress())
        progress.best, progress.best_epoch = one.best, one.best_epoch
        self.tell("the best model is lost; the best is looked for from here on")

    def save(self, model, state, arrays, best=False, value=None):
        """Writes a model once, and gives it all the names that it deserves.

        What was the last one stays as the previous one, should the disk damage this.

        Args:
            model: The model.
            state: What is to travel with it.
            arrays: Arrays by name that are to.
            best: Whether it is the best.
            value: Its monitored value, where it may be one of those kept.
        """
        kept = self.directory / f"epoch-{state['epoch']:04}.keras"
        ranks = value is not None and self._ranks(value)
        first, *others = [kept] * ranks + [self.best] * best + [self.last]
        if self.last.exists():
            _atomic.link(self.last, self.previous, lasting=False)
        _checkpoints.write(first, model, state, arrays)
        for name in others:
            _atomic.link(first, name, lasting=name == self.last)
        if ranks:
            self._kept[kept] = value
            self._drop_the_worst()

    def _state(self, path):
        """Returns the state in a file; refuses one of a later version."""
        state = _checkpoints.state(path)
        known = state is None or state["version"] <= _checkpoints.VERSION
        must = f"one whose {path.name} this version of keras_sched can read"
        check(known, self.metric.owner, "directory", must, str(self.directory))
        return state

    def _ranks(self, value):
        worse = [v for v in self._kept.values() if self.metric.sign * (v - value) > 0]
        return self.keep > 1 and (len(self._kept) < self.keep or len(worse) > 0)

    def _drop_the_worst(self):
        def rank(path):
            return self.metric.sign * self._kept[path], path.name

        for path in sorted(self._kept, key=rank)[self.keep :]:
            del self._kept[path]
            _atomic.remove(path)

    def _paths(self):
        """Returns the files that are there, the most likely to be the newest first."""
        if not self.directory.is_dir():
            return []
        kept = [path for path in self.directory.iterdir() if _is_kept(path)]
        named = (self.last, self.best, self.previous)
        named = [path for path in named if path.exists()]
        return named + sorted(kept, reverse=True)

    def _by_age(self):
        """Returns pairs of path and state as they stand there, the newest first."""
        found = []
        for path in self._paths():
            try:
                found.append((path, path.is_file() and self._state(path)))
            except _checkpoints.DamagedError:
                continue
        found = [(path, state) for path, state in found if state]
        return sorted(found, key=lambda pair: Progress.of(pair[1]).place, reverse=True)


def _free(path):
    """Returns the path, or one like it that no file has."""
    names = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], names) if not one.exists())


def _is_kept(path):
    return _KEPT.fullmatch(path.name) is not None


def _is_sound(path):
    try:
        _checkpoints.verify(path)
    except _checkpoints.DamagedError:
        return False
    return True

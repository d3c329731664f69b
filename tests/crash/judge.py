"""Lets a run meet a fault, runs the same script again, and judges where that ends."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import faults

HERE = str(pathlib.Path(__file__).parent)


@dataclasses.dataclass(frozen=True)
class Point:
    """How a run ended that met a fault, and what the run after it came to.

    Attributes:
        kind: One of `faults.KINDS`.
        number, operation: The `faults.Operation` the fault was at, counted from 1.
        ended: How the first run ended: "killed", "finished", "OSError", or the name of
            another exception or signal.
        torn: Names of models that it left and that cannot be read.
        verdict: What the second run did: "right", "could not go on", "ended wrong", or
            "lost epochs", if it trained again what the first had said was saved.
        message: What the second run raised.
        litter: Names of files that are left though it saved an epoch, and that a run
            without a fault does not leave.
    """

    kind: str
    number: int
    operation: faults.Operation
    ended: str
    torn: list
    verdict: str
    message: str
    litter: list

    @property
    def clean(self):
        """Returns whether the first run ended as such a fault should end a program."""
        killed = self.kind in ("kill", "tear")
        return self.ended in (["killed"] if killed else ["finished", "OSError"])

    @property
    def lost(self):
        """Returns whether anything was lost, or was not told as it should be."""
        return bool(self.torn) or self.verdict != "right" or not self.clean


@contextlib.contextmanager
def bench(*, backend=None, prepare=""):
    """Gives a `Bench`: a process that imports Keras once and forks for every run.

    Args:
        backend: Backend of Keras, or `None` for the fastest there is.
        prepare: Python code that the process runs first.
    """
    backend = backend or ("torch" if importlib.util.find_spec("torch") else "tensorflow")
    quiet = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = f"import sys; sys.path.insert(0, {HERE!r})\n{prepare}\n"
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-c", start + "import runs; runs.main()"],
            env=os.environ | quiet | faults.environment(),
            stderr=errors,
            **pipes,
        ) as process,
    ):
        yield Bench(process, errors)


class Bench:
    """Asks the process of `bench`.

    Attributes:
        ways: Names of `small_run.WAYS`.
    """

    def __init__(self, process, errors):
        self._process, self._errors = process, errors
        self.ways = self._answer()

    def points(self, way, begin, kind, every=1, layer=None):
        """Returns the `Point`s of one way to keep a run.

        Args:
            way: One of `small_run.WAYS`.
            begin: "overwriting" trains one more epoch in a folder that holds a run;
                "whole" trains all, in a folder that is not there yet.
            kind: One of `faults.KINDS`.
            every: Step from one operation that the fault can be at to the next.
            layer: One of `faults.LAYERS`, or `None` for the best there is.
        """
        rows = self._ask("points", _best(layer), way, begin, kind, every)
        return [Point(kind, n, faults.Operation(*o), *rest) for n, o, *rest in rows]

    def operations(self, way, begin, layer=None):
        """Returns the `faults.Operation`s of a run that meets no fault."""
        rows = self._ask("operations", _best(layer), way, begin)
        return [faults.Operation(*row) for row in rows]

    def _ask(self, *request):
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError(self._errors.read())
        return json.loads(line)


def _best(layer):
    return layer or faults.available()[0]

"""Faults on the disk: at one operation of a process under one folder, something fails.

What can fail:
    kill: The process is killed before the operation.
    tear: A write writes half of its bytes, then the process is killed.
    full: From the operation on, the disk has no room for bytes, files or names.
    sync: From the operation on, nothing can be flushed to the disk.

Start the process with `environment`, and call `arm` in it, or in a child that it forks.
Operations are met between Python and the C library, or, where nothing can be compiled,
in Python's own functions, which miss what extensions do by themselves.
"""

import atexit
import ctypes
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

import patches

KINDS = ("kill", "tear", "full", "sync")
LAYERS = ("shim", "python")
SOURCE = pathlib.Path(__file__).with_name("shim.c")
MAKES_ROOM = {"write", "mkdir", "link", "rename"}


class Operation(NamedTuple):
    """One entry of a log: `open`, `write`, `fsync`, `rename`, ..., and what it is of."""

    name: str
    path: str
    target: str

    def fails_by(self, kind):
        """Returns whether a fault of this kind differs here from one an operation on."""
        if kind == "tear":
            return self.name == "write"
        if kind == "full":
            return self.name in MAKES_ROOM or self.name == "open"
        return kind == "kill" or self.name == "fsync"


def available():
    """Returns the layers that this process has, or its children will, the best first."""
    return LAYERS if _loaded() or _built() else LAYERS[1:]


def environment():
    """Returns the variables to start a process with, so that it can call `arm`."""
    return {"LD_PRELOAD": _built()} if _built() else {}


def arm(folder, kind="none", at=0, log="", layer=None):
    """Fails this process at its `at`-th operation under `folder`, counted from 1.

    Args:
        folder: A path without links in it.
        kind: One of `KINDS`, or "none" for no fault.
        at: Number of the operation.
        log: Path of a file elsewhere that gets a line for each operation, or none.
        layer: One of `LAYERS`, or `None` for the best that this process has.
    """
    if (layer or ("shim" if _loaded() else "python")) == "python":
        patches.arm(str(folder), kind, at, str(log))
        return
    words = [str(word).encode() for word in (folder, kind, log)]
    ctypes.CDLL(None).faults_arm(*words[:2], ctypes.c_long(at), words[2])


def operations(log):
    """Returns the `Operation`s that a log tells of."""
    lines = pathlib.Path(log).read_text().splitlines()
    return [Operation(*line.split("\t")) for line in lines]


def _loaded():
    return hasattr(ctypes.CDLL(None), "faults_arm")


@functools.cache
def _built():
    """Returns the path of the compiled layer, or `None` where it cannot be compiled."""
    compiler = shutil.which("cc")
    if not compiler or not sys.platform.startswith("linux"):
        return None
    folder = tempfile.mkdtemp(prefix="faults-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = os.path.join(folder, "shim.so")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", path, str(SOURCE), "-ldl"]
    done = subprocess.run(command, check=False, capture_output=True)
    return None if done.returncode else path

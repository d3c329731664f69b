"""A file that is a Keras model and the state of the run that made it.

The state travels in the `.keras` archive as members of its own, which Keras does not
look at: what is a number or a name as JSON, arrays in NumPy's format.
"""

import io
import json
import pathlib
import tempfile
import zipfile
import zlib

import keras
import numpy as np

from keras_sched import _atomic
from keras_sched._checks import check

_STATE, _ARRAYS = "keras_sched.json", "keras_sched.npz"
_DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError)
VERSION = 1


class DamagedError(Exception):
    """A file is not what was written."""


def check_savable(model, owner):
    """Refuses a model that Keras cannot save, in the name of a callback."""
    try:
        keras.saving.serialize_keras_object(model)
    except Exception as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        check(False, owner, "model", f"one that Keras can save ({why})", model.name)


def write(path, model, state, arrays):
    """Puts model and state in the place of `path`, whole.

    Args:
        path: Where to. A symbolic link is replaced, not followed.
        model: A Keras model.
        state: Dict that JSON can hold.
        arrays: NumPy arrays by name.
    """
    with _atomic.replacing(path, verify=_verify, follow=False) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_STATE, json.dumps({"version": VERSION} | state))
            if arrays:
                content = io.BytesIO()
                np.savez(content, **arrays)
                archive.writestr(_ARRAYS, content.getvalue())


def take_part(model):
    """Does what Keras asks of the other processes while one of them saves."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(pathlib.Path(folder) / "unused.keras")


def state(path):
    """Returns the state in a file as it stands there, unverified.

    Returns:
        The state, or `None` for a sound archive without one, which another has made.

    Raises:
        DamagedError: If the file is no archive, or its state no state.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if _STATE not in archive.namelist():
                return None
            found = json.loads(archive.read(_STATE))
    except _DAMAGE as error:
        raise DamagedError(str(error)) from error
    if not isinstance(found, dict) or not isinstance(found.get("version"), int):
        raise DamagedError("its state is not one")
    return found


def verify(path):
    """Refuses a file, by a `DamagedError`, that is not what was written."""
    try:
        _verify(path)
    except _DAMAGE as error:
        raise DamagedError(str(error)) from error


def arrays(path):
    """Returns the arrays beside the model in a file that is sound, by name."""
    with zipfile.ZipFile(path) as archive:
        if _ARRAYS not in archive.namelist():
            return {}
        found = np.load(io.BytesIO(archive.read(_ARRAYS)), allow_pickle=False)
        return {name: found[name] for name in found.files}


def _verify(path):
    """Raises unless every member of the archive is what its checksum says."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"{damaged} does not match its checksum")

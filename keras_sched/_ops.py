"""`keras.ops`; inside a `tf.data` pipeline TensorFlow's, whatever the backend is."""

import contextlib
import contextvars

import keras
from keras.src.utils.backend_utils import DynamicBackend

_in_pipeline = contextvars.ContextVar("in_pipeline", default=False)


def backend():
    """Returns the name of the backend whose functions these are."""
    return "tensorflow" if _in_pipeline.get() else keras.backend.backend()


@contextlib.contextmanager
def of_tensorflow():
    """Makes the functions of this module TensorFlow's in a `with` block."""
    token = _in_pipeline.set(True)
    try:
        yield
    finally:
        _in_pipeline.reset(token)


def __getattr__(name):
    if backend() == keras.backend.backend():
        return getattr(keras.ops, name)
    found = DynamicBackend("tensorflow")
    parts = found.numpy, found.core, found.nn
    return next(getattr(part, name) for part in parts if hasattr(part, name))

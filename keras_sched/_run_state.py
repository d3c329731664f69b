"""What else than weights and slots makes a model go on as if nothing had happened."""

import math
import warnings

import keras
import numpy as np
from keras import ops

from keras_sched import _fit_loop, _processes, _random


def capture(model, in_epoch):
    """Returns, as JSON can hold it, what `model.save` leaves out.

    Args:
        model: A compiled model, whose optimizer is built.
        in_epoch: Whether an epoch has begun, so that its metrics have values.
    """
    return {
        "metrics": as_lists(model.metrics_variables) if in_epoch else [],
        "seeds": as_lists(_unsaved(model)),
        "random": _random.state(),
        "shapes": _shapes(model),
    }


def fits(model, state):
    """Returns whether a state is of a model like this one."""
    return state["shapes"] == _shapes(model)


def load(model, path):
    """Gives a model the weights and slots of a file, all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.load_weights(path)


def load_floats(model, path):
    """Does what `load` does, but leaves counters as they are."""
    held = model.variables + model.optimizer.variables
    counters = _fit_loop.Snapshot([v for v in held if "int" in _dtype(v)])
    load(model, path)
    counters.restore()


def restore_seeds(model, state):
    """Puts the seeds of layers back."""
    assign(_unsaved(model), state["seeds"])


def assign(variables, values):
    """Assigns values to variables, one by one."""
    for variable, value in zip(variables, values):
        variable.assign(value)


def as_lists(variables):
    """Returns the values of variables as lists of numbers."""
    return [ops.convert_to_numpy(variable).tolist() for variable in variables]


def floats(variables):
    """Returns those of the variables that are no counters."""
    return [variable for variable in variables if "float" in _dtype(variable)]


def is_finite(model):
    """Returns whether all weights are finite numbers."""
    weights = floats(model.weights)
    if _processes.count() > 1:  # Each by itself: the others may not ask.
        weights = map(ops.convert_to_numpy, weights)
        return all(np.isfinite(weight).all() for weight in weights)
    return all(_all_finite(weight) for weight in weights)


def _all_finite(array):
    """Returns whether all numbers are finite, by their sum, unless that overflows."""
    return bool(ops.isfinite(ops.sum(array))) or bool(ops.all(ops.isfinite(array)))


def nbytes(model):
    """Returns how many bytes weights and slots take."""
    held = model.variables + model.optimizer.variables
    return sum(math.prod(v.shape) * np.dtype(_dtype(v)).itemsize for v in held)


def _unsaved(model):
    """Returns the variables that `model.save` leaves out: the seeds' states."""
    saved = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in saved]


def _shapes(model):
    held = model.variables + model.optimizer.variables
    return [[list(v.shape), _dtype(v)] for v in held]


def _dtype(variable):
    return keras.backend.standardize_dtype(variable.dtype)

"""Means and variances of `BatchNormalization`, estimated anew for other weights."""

import contextlib

import keras
import numpy as np
from keras import ops

from keras_sched import _fit_loop


def reestimate(model, data, batch_size):
    """Estimates a model's running statistics by a pass over data, in training mode.

    Each batch counts alike, whatever the layers' momentum. All else that a pass changes,
    counters and seeds among it, is put back.

    Args:
        model: The model.
        data: Inputs: an array or a nest of arrays, or what gives batches of them, alone
            or first in a tuple.
        batch_size: Rows in a batch, where data are arrays.

    Returns:
        Pairs of a variable and its new value. They are assigned.
    """
    layers = [one for one in _fit_loop.batch_normalizations(model) if one.trainable]
    statistics = [v for one in layers for v in (one.moving_mean, one.moving_variance)]
    chosen = {id(variable) for variable in statistics}
    others = [v for v in model.variables if id(v) not in chosen]
    before = _fit_loop.Snapshot(others)
    with _momenta_kept(layers):
        for number, inputs in enumerate(_batches(data, batch_size)):
            for layer in layers:
                layer.momentum = number / (number + 1)
            model(inputs, training=True)
    before.restore()
    return [(v, np.array(ops.convert_to_numpy(v))) for v in statistics]


@contextlib.contextmanager
def _momenta_kept(layers):
    before = [layer.momentum for layer in layers]
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before):
            layer.momentum = momentum


def _batches(data, batch_size):
    arrays = keras.tree.flatten(data)
    if all(hasattr(one, "shape") for one in arrays):
        for first in range(0, len(arrays[0]), batch_size):
            rows = slice(first, first + batch_size)
            yield keras.tree.map_structure(lambda array, rows=rows: array[rows], data)
        return
    for batch in data:
        inputs = batch[0] if isinstance(batch, tuple) else batch
        yield keras.tree.map_structure(ops.convert_to_numpy, inputs)

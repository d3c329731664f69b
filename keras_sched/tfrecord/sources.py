"""What can be converted, as one thing: a dict of arrays of one length."""

import numpy as np

from keras_sched._checks import check


def arrays(source):
    """Returns the arrays of a source by name, and the supervised pair of names.

    Args:
        source: Dict of arrays, or a pair `(x, y)`, whose fields are called "image" (of
            rank 4) or "features", and "label".
    """
    if isinstance(source, dict):
        return {name: _array(array) for name, array in source.items()}, None
    pair = isinstance(source, (tuple, list)) and len(source) == 2
    must = "a dict of arrays or a pair (x, y) of arrays"
    check(pair, "convert", "source", must, type(source).__name__)
    x, y = map(_array, source)
    name = "image" if x.ndim == 4 else "features"
    return {name: x, "label": y}, (name, "label")


def _array(array):
    try:
        return np.asarray(array)
    except ValueError as error:
        check(False, "convert", "source", "arrays of fixed shape", str(error))

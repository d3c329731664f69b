"""One way through a list of points, for every schedule that has knots."""

import functools
import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_sched.schedules.fields import LAST_STEP

INTERPOLATIONS = ("linear", "cosine", "constant")
_LOOKED_UP = 2**18
_FEW = 40


def interpolate(points, interpolation, step):
    """Returns the value at `step` on the path through `points`.

    Before the first point the first value holds, after the last one the last.
    Distances are taken from the lower end of each segment and, while they can be,
    in integers: the result is right to a few ulp of the *value*, be it a millionth
    of the peak, and at any step.

    This runs at every step of training. A path that is not too long is therefore
    worked out beforehand and looked up; on a longer one, its segment is.

    Args:
        points: Tuple of `(step, value)`. Steps may be fractions, as the ends of
            PyTorch's phases are; a segment that does not go forward is passed over.
        interpolation: "linear", "cosine" (half a wave a segment) or "constant"
            (each value holds until the next point).
        step: Integer tensor.
    """
    length = _length(points)
    if length <= _LOOKED_UP:
        table = _table(points, interpolation, length)
        return _look_up(table, ops.clip(step, 0, length - 1))
    steps, values = _segments(points, interpolation)
    begun = last_begun(steps, values.astype("float32"), step)
    _, anchor, scale, offset, low, rise = begun
    part = ops.cast(step - anchor, "float32") * scale + offset
    if interpolation == "cosine":
        part = ops.square(ops.sin(part))
    return part * rise + low


def last_begun(steps, values, step):
    """Returns the column of both tables that is the last to start not above `step`.

    Choices between scalars cost a step that XLA compiles nothing; looking places up in
    constants some microseconds. Elsewhere each choice would be a call of its own.

    Args:
        steps: NumPy matrix of int32 whose first row are the starts, which rise. The first
            of them is not above `step`.
        values: NumPy matrix of float32 with as many columns.
        step: int32 tensor.
    """
    if steps.shape[1] <= _FEW and keras.backend.backend() == "jax":
        found, *columns = zip(*steps, *values)
        for column in columns:
            begun = step >= column[0]
            found = [ops.where(begun, *pair) for pair in zip(column, found)]
        return found
    begun = ops.searchsorted(steps[0], ops.reshape(step, (-1,)), side="right")
    place = ops.reshape(begun - 1, ops.shape(step))
    found = [ops.take(table, place, axis=1) for table in (steps, values)]
    return [row for table in found for row in ops.unstack(table)]


def _look_up(row, index):
    """Returns the elements of a vector at an integer tensor of places that it has."""
    row = ops.convert_to_tensor(row)
    if len(index.shape):
        return ops.take(row, index)
    return ops.reshape(ops.slice(row, (index,), (1,)), ())


def _length(points):
    """Returns the steps to the last point and past it, as one of few table sizes."""
    steps = max(0, math.ceil(points[-1][0])) + 2
    return 1 << (steps - 1).bit_length()


@functools.lru_cache(maxsize=64)
def _table(points, interpolation, length):
    """Returns the values at the first steps, worked out in float64."""
    segments = _segments(points, interpolation)
    starts, anchors = segments.steps
    scale, offset, low, rise = segments.values
    steps = np.arange(length)
    index = np.searchsorted(starts, steps, side="right") - 1
    part = (steps - anchors[index]) * scale[index] + offset[index]
    if interpolation == "cosine":
        part = np.sin(part) ** 2
    return (part * rise[index] + low[index]).astype("float32")


class _Segments(NamedTuple):
    """One column a segment; one before and one after, which hold their value."""

    steps: np.ndarray  # int32 rows: first step, anchor
    values: np.ndarray  # float64 rows: scale, offset, low, rise


@functools.lru_cache
def _segments(points, interpolation):
    pairs = [(a, b) for a, b in zip(points, points[1:]) if b[0] > a[0]]
    begin, end = (pairs[0][0] if pairs else points[-1]), points[-1]
    # A jump belongs to its own step; where nothing jumps, so does either side.
    over = math.ceil(end[0]) if interpolation == "constant" else math.floor(end[0]) + 1
    columns = [
        (-LAST_STEP, 0, 0.0, 0.0, begin[1], 0.0),
        *(_segment(*pair, interpolation) for pair in pairs),
        (min(over, LAST_STEP), 0, 0.0, 0.0, end[1], 0.0),
    ]
    table = np.array(columns).T
    return _Segments(table[:2].astype("int32"), table[2:])


def _segment(start, end, interpolation):
    (start, before), (end, after) = start, end
    if interpolation == "constant":
        return math.ceil(start), 0, 0.0, 0.0, before, 0.0
    anchor, sign = (end, -1) if after < before else (start, 1)
    scale = sign / (end - start) * (math.pi / 2 if interpolation == "cosine" else 1.0)
    nearest = math.floor(anchor)
    offset = scale * (nearest - anchor)
    low, rise = min(before, after), abs(after - before)
    return math.floor(start) + 1, nearest, scale, offset, low, rise

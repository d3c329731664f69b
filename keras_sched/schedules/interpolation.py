"""One way through a list of points, for every schedule that has knots."""

import functools
import math
from typing import NamedTuple

import numpy as np
from keras import ops

INTERPOLATIONS = ("linear", "cosine", "constant")
_FOREVER = 2**31 - 1


def interpolate(points, interpolation, step):
    """Returns the value at `step` on the path through `points`.

    Before the first point the first value holds, after the last one the last.
    Distances are taken from the lower end of each segment and, while they can be,
    in integers: the result is right to a few ulp of the *value*, be it a millionth
    of the peak, and at any step.

    Args:
        points: Tuple of `(step, value)`. Steps may be fractions, as the ends of
            PyTorch's phases are; a segment that does not go forward is passed over.
        interpolation: "linear", "cosine" (half a wave a segment) or "constant"
            (each value holds until the next point).
        step: Integer tensor.
    """
    table = _segments(points, interpolation)
    step = ops.expand_dims(step, -1) if len(step.shape) else step
    starts, ends, anchors = (ops.cast(row, step.dtype) for row in table.steps)
    scale, offset, low, rise = map(ops.convert_to_tensor, table.values)
    part = ops.cast(step - anchors, "float32") * scale
    if table.values[1].any():
        part = part + offset
    if interpolation == "cosine":
        part = ops.square(ops.sin(part))
    here = ops.logical_and(step > starts, step <= ends)
    return ops.sum(ops.where(here, part * rise + low, 0.0), axis=-1)


class _Segments(NamedTuple):
    """One column a segment: all are evaluated at once, and one is taken.

    That is a dozen operations on a few numbers, however many points there are; to
    look up the segment first would be twice as many, and they run at every step.
    """

    steps: np.ndarray  # int32 rows: last step before it, last step in it, anchor
    values: np.ndarray  # float32 rows: scale, offset, low, rise


@functools.lru_cache
def _segments(points, interpolation):
    pairs = [(a, b) for a, b in zip(points, points[1:]) if b[0] > a[0]]
    begin, end = (pairs[0][0] if pairs else points[-1]), points[-1]
    # A jump belongs to its own step; where nothing jumps, so does either side.
    jumps = interpolation == "constant"
    last_before = [math.ceil(s) - 1 if jumps else math.floor(s) for s, _ in (begin, end)]
    columns = [
        (-_FOREVER, last_before[0], 0, 0.0, 0.0, begin[1], 0.0),
        *(_segment(*pair, interpolation) for pair in pairs),
        (last_before[1], _FOREVER, 0, 0.0, 0.0, end[1], 0.0),
    ]
    table = np.array(columns).T
    return _Segments(table[:3].astype("int32"), table[3:].astype("float32"))


def _segment(start, end, interpolation):
    (start, before), (end, after) = start, end
    if interpolation == "constant":
        return math.ceil(start) - 1, math.ceil(end) - 1, 0, 0.0, 0.0, before, 0.0
    anchor, sign = (end, -1) if after < before else (start, 1)
    scale = sign / (end - start) * (math.pi / 2 if interpolation == "cosine" else 1.0)
    nearest = math.floor(anchor)
    offset = scale * (nearest - anchor)
    low, rise = min(before, after), abs(after - before)
    return math.floor(start), math.floor(end), nearest, scale, offset, low, rise

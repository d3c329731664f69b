"""Boxes of whole pixels: drawn, clipped, counted, and cut out of images."""

from typing import NamedTuple

import numpy as np

from keras_sched import _ops as ops


class _Boxes(NamedTuple):
    """Some boxes in each image. A box holds the pixels from first to below last."""

    first: object  # int32, (batch, boxes, axes of space)
    last: object


def draw(chances, sides, sizes, acts, inside=False):
    """Returns boxes of these sizes at random places, clipped to the image.

    Args:
        chances: float32 `(batch, boxes, axes or more)`, at least 0 and below 1.
        sides: How long the images are on each axis: list of integers or scalar tensors.
        sizes: How long the boxes are: list of integers, or of int32 `(batch, boxes)`.
        acts: bool `(batch,)`: which images have boxes; the others have empty ones.
        inside: Whether boxes lie inside the image as a whole. Otherwise their centres do.
    """
    chances = chances[..., : len(sides)]
    sides, sizes = _last_axis(sides), _last_axis(sizes)
    places = sides - sizes + 1 if inside else sides
    place = ops.cast(chances * ops.cast(places, "float32"), "int32")
    begin = ops.minimum(place, places - 1) - (0 if inside else sizes // 2)
    first = ops.maximum(begin, 0)
    last = ops.where(acts[:, None, None], begin + sizes, first)
    return _Boxes(first, ops.minimum(last, sides))


def _last_axis(values):
    """Returns integers and tensors of them side by side, as one int32 tensor."""
    if all(isinstance(value, int) for value in values):
        return ops.convert_to_tensor(np.array(values, "int32"))
    return ops.stack([ops.cast(value, "int32") for value in values], -1)


def share(boxes, sides):
    """Returns which part of each image its one box is, of pixels counted: float32."""
    pixels, whole = 1, 1
    for axis, side in enumerate(sides):
        pixels = pixels * (boxes.last - boxes.first)[:, 0, axis]
        whole = whole * side
    return ops.cast(pixels, "float32") / ops.cast(whole, "float32")


def cut(images, boxes, axes, filling):
    """Returns images that have `filling` inside their boxes.

    The last axis of space and the channels are taken for one, where they are neighbours:
    a choice between rows of pixels costs a graph a quarter of one between pixels.

    Args:
        images: `(batch, ..., channels)`, or channels first.
        boxes: Of these images.
        axes: Those of space, in their order.
        filling: What to choose there: a tensor of the shape of the images, of their last
            axis, or of none.
    """
    shape, channels = ops.shape(images), 1
    if axes[-1] == len(shape) - 2:
        channels = shape[-1]
        flat = (*shape[:-2], shape[-2] * channels)
        if len(filling.shape) == 1:
            filling = ops.tile(filling, shape[-2])
        elif len(filling.shape):
            filling = ops.reshape(filling, flat)
        images = ops.reshape(images, flat)
    covered = None
    for box in range(boxes.first.shape[1]):
        here = _inside(boxes, box, ops.shape(images), axes, channels)
        covered = here if covered is None else ops.logical_or(covered, here)
    return ops.reshape(ops.where(covered, filling, images), shape)


def _inside(boxes, box, shape, axes, channels):
    """Returns which pixels are in one of the boxes: bool, to broadcast to `shape`."""
    found, rank = None, len(shape)
    for place, axis in enumerate(axes):
        each = channels if axis == axes[-1] else 1
        side = shape[axis]
        line = ops.arange(side, dtype="int32")
        first, last = (ends[:, box, place, None] * each for ends in boxes)
        lines = ops.logical_and(line >= first, line < last)
        around = axis - 1, rank - 1 - axis
        lines = ops.reshape(lines, (shape[0], *[1] * around[0], side, *[1] * around[1]))
        found = lines if found is None else ops.logical_and(found, lines)
    return found

"""Cutout, after DeVries and Taylor 2017."""

from collections.abc import Sequence
from typing import Any

from keras_sched import _ops as ops
from keras_sched._checks import check, each, integer, one_of
from keras_sched._types import Amount, Border, DataFormat
from keras_sched.layers import boxes
from keras_sched.layers.cut_base import Eraser


class Cutout(Eraser):
    """Blanks square holes, centred anywhere, in images that train.

    From DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks
    with Cutout" (2017). Each image has its own holes. Masks are made of integers, so
    that they are right at any size in any dtype; the dtype of the images is kept.

    Args:
        size: Side of the hole in pixels; or a tuple of sides, one for each axis of space.
            At least 1.
        fill_value: What a hole holds, in the images' units, or a tuple of one value a
            channel. The mean of the data is the paper's choice: 0 after normalization.
        holes: How many holes an image has. At least 1.
        probability: Part of the images that get holes, from 0 to 1; or a pair to draw it
            between for each image; or a schedule of the layer's own steps.
        border: "clip": holes are centred on any pixel and cut off at the border, as in
            the paper. "inside": all of the hole is in the image, whose sides must not be
            smaller.
        mask_fill: What a hole holds in segmentation masks. `None`: what it held.
        data_format: "channels_last" or "channels_first". `None`: Keras's setting.
        seed: Integer, or `None` for another draw in each run.
        **kwargs: As for any Keras layer.

    Input: `(batch, height, width, channels)`, or channels first; volumes with one axis
        more, whose holes are cubes. Any dtype.
    Output: The same shape and dtype.

    Raises:
        ValueError: For an argument out of these bounds, an input of another rank, or
            images whose dtype cannot hold `fill_value`.

    >>> image = np.ones((1, 4, 4, 1), "uint8")
    >>> holed = Cutout(2, border="inside", seed=1).augment(image)
    >>> int(ops.sum(holed))
    12
    """

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        fill_value: float | Sequence[float] = 0.0,
        holes: int = 1,
        probability: Amount = 1.0,
        border: Border = "clip",
        mask_fill: int | None = None,
        data_format: DataFormat | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        base = dict(data_format=data_format, seed=seed, **kwargs)
        super().__init__(fill_value, mask_fill, probability, **base)
        self.size = each(lambda s: integer(self, "size", s, at_least=1), size)
        self.holes = integer(self, "holes", holes, at_least=1)
        self.border = one_of(self, "border", border, Border)

    def build(self, input_shape):
        super().build(input_shape)
        sides = self.sides(input_shape)
        one_each = isinstance(self.size, int) or len(self.size) == len(sides)
        check(one_each, self, "size", f"one side, or {len(sides)}", self.size)
        sizes = self._sizes(sides)
        fits = all(size <= (side or size) for size, side in zip(sizes, sides))
        must = f"at most the side of the images, {tuple(sides)}, with border='inside'"
        check(fits or self.border == "clip", self, "size", must, self.size)

    def draw(self, images, chance):
        shape = ops.shape(images)
        sides, batch = self.sides(shape), shape[0]
        drawn = chance.uniform(batch, self.holes, len(sides) + 1)
        acts = drawn[:, 0, -1] < chance.amount(self.probability, batch)
        inside, sizes = self.border == "inside", self._sizes(sides)
        return {"boxes": boxes.draw(drawn, sides, sizes, acts, inside)}

    def _sizes(self, sides):
        return [self.size] * len(sides) if isinstance(self.size, int) else self.size

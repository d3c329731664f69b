"""Random erasing, after Zhong et al. 2017."""

import math
from collections.abc import Sequence
from typing import Any

from keras_sched import _ops as ops
from keras_sched._checks import check, number
from keras_sched._types import Amount, DataFormat, Pair
from keras_sched.layers import boxes
from keras_sched.layers.cut_base import Eraser


class RandomErasing(Eraser):
    """Blanks one rectangle in some of the images that train.

    From Zhong et al., "Random Erasing Data Augmentation" (2017). The area is uniform, the
    logarithm of the aspect ratio too, and the rectangle, whose sides are whole pixels,
    lies anywhere inside the image. Where the paper draws again until one fits, the ratio
    is drawn among those that fit; where none does, it is the nearest that does.

    Args:
        probability: Part of the images that are erased in, from 0 to 1; or a pair to draw
            it between for each image; or a schedule of the layer's own steps.
        area: Least and most of the image to erase, as shares of it. Above 0, at most 1.
        aspect_ratio: Least and most height of the rectangle over its width. Above 0.
        fill_value: What it holds, in the images' units, or a tuple of one value for each
            channel.
        mask_fill: What it holds in segmentation masks. `None`: what it held.
        data_format: "channels_last" or "channels_first". `None`: Keras's setting.
        seed: Integer, or `None` for another draw in each run.
        **kwargs: As for any Keras layer.

    Input: `(batch, height, width, channels)`, or channels first; any dtype.
    Output: The same shape and dtype.

    Raises:
        ValueError: For an argument out of these bounds, an input of another rank, or
            images whose dtype cannot hold `fill_value`.

    >>> images = np.ones((2, 10, 10, 3), "uint8")
    >>> layer = RandomErasing(probability=1, area=(0.25, 0.25), aspect_ratio=(1, 1))
    >>> np.array(layer.augment(images)).sum((1, 2, 3)).tolist()
    [225, 225]
    """

    ranks = (4,)

    def __init__(
        self,
        *,
        probability: Amount = 0.5,
        area: Pair = (0.02, 0.33),
        aspect_ratio: Pair = (0.3, 3.3),
        fill_value: float | Sequence[float] = 0.0,
        mask_fill: int | None = None,
        data_format: DataFormat | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        base = dict(data_format=data_format, seed=seed, **kwargs)
        super().__init__(fill_value, mask_fill, probability, **base)
        self.area = self._pair("area", area)
        check(self.area[1] <= 1, self, "area", "at most 1", area)
        self.aspect_ratio = self._pair("aspect_ratio", aspect_ratio)

    def draw(self, images, chance):
        shape = ops.shape(images)
        sides, batch = self.sides(shape), shape[0]
        drawn = chance.uniform(batch, 1, 5)
        acts = drawn[:, 0, 4] < chance.amount(self.probability, batch)
        height, width = (ops.cast(side, "float32") for side in sides)
        least, most = self.area
        area = (least + (most - least) * drawn[..., 2]) * height * width
        flattest = ops.log(area / ops.square(width))
        steepest = ops.log(ops.square(height) / area)
        ends = map(math.log, self.aspect_ratio)
        low, high = (ops.minimum(ops.maximum(e, flattest), steepest) for e in ends)
        ratio = ops.exp(low + (high - low) * drawn[..., 3])
        sizes = ops.sqrt(area * ratio), ops.sqrt(area / ratio)
        sizes = [_whole(size, side) for size, side in zip(sizes, sides)]
        return {"boxes": boxes.draw(drawn, sides, sizes, acts, inside=True)}

    def _pair(self, name, value):
        must = "a (low, high) pair above 0"
        check(
            isinstance(value, (tuple, list)) and len(value) == 2, self, name, must, value
        )
        low, high = (number(self, name, each) for each in value)
        check(0 < low <= high, self, name, must, value)
        return low, high


def _whole(size, side):
    return ops.clip(ops.cast(ops.round(size), "int32"), 1, side)

"""Cutout, after DeVries and Taylor 2017."""

import keras
import numpy as np
from keras import ops

from keras_sched._checks import check, integer, number, one_of
from keras_sched.layers.base import Augmentation


class Cutout(Augmentation):
    """Blanks square holes, centred anywhere, in images that train.

    From DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks
    with Cutout" (2017). Each image has its own holes. Masks are made of integers, so
    that they are right at any size in any dtype; the dtype of the images is kept.

    Args:
        size: Side of the hole in pixels. At least 1.
        fill_value: What a hole holds, in the images' units. The mean of the data is the
            paper's choice: 0 after normalization.
        holes: How many holes an image has. At least 1.
        probability: Part of the images that get holes. From 0 to 1.
        border: "clip": holes are centred on any pixel and cut off at the border, as in
            the paper. "inside": all of the hole is in the image, whose sides must not be
            smaller.
        seed: Integer, or `None` for another draw in each run.
        data_format: "channels_last" or "channels_first". `None`: Keras's setting.
        **kwargs: As for any Keras layer.

    Input: `(batch, height, width, channels)`, or channels first; any dtype.
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
        size,
        *,
        fill_value=0.0,
        holes=1,
        probability=1.0,
        border="clip",
        data_format=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        self.size = integer(self, "size", size, at_least=1)
        self.fill_value = number(self, "fill_value", fill_value)
        self.holes = integer(self, "holes", holes, at_least=1)
        self.probability = number(self, "probability", probability)
        check(0 <= probability <= 1, self, "probability", "from 0 to 1", probability)
        self.border = one_of(self, "border", border, ("clip", "inside"))
        data_format = data_format or keras.config.image_data_format()
        formats = ("channels_last", "channels_first")
        self.data_format = one_of(self, "data_format", data_format, formats)

    def build(self, input_shape):
        check(len(input_shape) == 4, self, "input", "of rank 4", tuple(input_shape))
        height, width = (input_shape[axis] for axis in self._axes())
        fits = self.size <= min(height or self.size, width or self.size)
        must = f"at most the side of the images, {(height, width)}, with border='inside'"
        check(fits or self.border == "clip", self, "size", must, self.size)

    def draw(self, images):
        shape = ops.shape(images)
        batch, (height, width) = shape[0], (shape[axis] for axis in self._axes())
        shape = (batch, self.holes, 3)
        chances = keras.random.uniform(shape, dtype="float32", seed=self.generator)
        holed = chances[:, :1, 2] < self.probability
        return {
            "rows": ops.logical_and(
                self._lines(chances[..., 0], height), holed[..., None]
            ),
            "columns": self._lines(chances[..., 1], width),
        }

    def _lines(self, chances, side):
        """Returns which lines each hole covers: `(batch, holes, side)`, boolean."""
        inside = self.border == "inside"
        places = side - self.size + 1 if inside else side
        place = ops.cast(ops.floor(chances * ops.cast(places, "float32")), "int32")
        first = ops.minimum(place, places - 1) - (0 if inside else self.size // 2)
        line = ops.arange(side, dtype="int32") - first[..., None]
        return ops.logical_and(line >= 0, line < self.size)

    def transform_images(self, images, drawn):
        self._check_fill_value(keras.backend.standardize_dtype(images.dtype))
        rows, columns = drawn["rows"][:, :, :, None], drawn["columns"][:, :, None, :]
        mask = ops.any(ops.logical_and(rows, columns), axis=1)
        mask = ops.expand_dims(mask, -1 if self.data_format == "channels_last" else 1)
        return ops.where(mask, ops.cast(self.fill_value, images.dtype), images)

    def _check_fill_value(self, dtype):
        if "int" in dtype:
            limits, value = np.iinfo(dtype), self.fill_value
            fits = value.is_integer() and limits.min <= value <= limits.max
            check(fits, self, "fill_value", f"an {dtype}, as the images are", value)

    def get_config(self):
        names = ("size", "fill_value", "holes", "probability", "border", "data_format")
        config = {name: getattr(self, name) for name in (*names, "seed")}
        return super().get_config() | config

    def _axes(self):
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

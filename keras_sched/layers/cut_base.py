"""What layers share that put something into boxes."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_sched import _ops as ops
from keras_sched._chance import amount
from keras_sched._checks import check, each, integer, number, one_of
from keras_sched._types import Amount, DataFormat
from keras_sched.layers import boxes
from keras_sched.layers.base import Augmentation


class Cut(Augmentation):
    """Base of the layers that cut boxes out of images."""

    ranks: tuple[int, ...] = (4, 5)

    def __init__(
        self,
        *,
        data_format: DataFormat | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, **kwargs)
        data_format = data_format or keras.config.image_data_format()
        self.data_format = one_of(self, "data_format", data_format, DataFormat)

    def axes(self, shape: Sequence[Any]) -> tuple[int, ...]:
        """Returns the axes of space."""
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + len(shape) - 2))

    def sides(self, shape: Sequence[Any]) -> list[Any]:
        """Returns how long images of this shape are on each axis of space."""
        return [shape[axis] for axis in self.axes(shape)]


class Eraser(Cut):
    """Base of the layers that fill boxes with a value of their own."""

    def __init__(
        self,
        fill_value: float | Sequence[float],
        mask_fill: int | None,
        probability: Amount,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.fill_value = each(lambda v: number(self, "fill_value", v), fill_value)
        self.mask_fill = mask_fill
        if mask_fill is not None:
            self.mask_fill = integer(self, "mask_fill", mask_fill)
        self.probability = amount(self, "probability", probability, most=1.0)

    def transform_images(self, images, drawn):
        shape = ops.shape(images)
        filling = self._filling(images, shape)
        return boxes.cut(images, drawn["boxes"], self.axes(shape), filling)

    def transform_masks(self, masks, drawn):
        if self.mask_fill is None:
            return masks
        shape, filling = ops.shape(masks), ops.cast(self.mask_fill, masks.dtype)
        return boxes.cut(masks, drawn["boxes"], self.axes(shape), filling)

    def _filling(self, images, shape):
        dtype = keras.backend.standardize_dtype(images.dtype)
        values, whole = np.array(self.fill_value), "int" in dtype
        if whole:
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            fits = np.all((values == values.round()) & (low <= values) & (values <= high))
            must = f"an {dtype}, as the images are"
            check(fits, self, "fill_value", must, self.fill_value)
        values = values.astype(dtype if whole else "float32")
        filling = ops.cast(ops.convert_to_tensor(values), dtype)
        if not values.ndim:
            return filling
        last = self.data_format == "channels_last"
        channels = images.shape[-1 if last else 1]
        must = f"one number, or {channels}, one a channel"
        check(len(values) == channels, self, "fill_value", must, self.fill_value)
        return ops.reshape(filling, (-1, *[1] * (0 if last else len(self.axes(shape)))))

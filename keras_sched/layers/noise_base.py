"""What the layers of noise share."""

import abc
from typing import Any

from keras_sched import _mixing
from keras_sched import _ops as ops
from keras_sched._chance import amount
from keras_sched._checks import check, number, one_of
from keras_sched._types import Amount, Distribution, Pair, Tensor
from keras_sched.layers.base import Augmentation
from keras_sched.layers.pixels import calculable, stored


class Noise(Augmentation):
    """Base of the layers that add to each value a draw of its own."""

    def __init__(
        self,
        stddev: Amount,
        *,
        value_range: Pair | None = None,
        distribution: Distribution = "normal",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, **kwargs)
        self.stddev = amount(self, "stddev", stddev)
        if value_range is not None:
            must = "None, or a low and a higher number"
            pair = isinstance(value_range, (tuple, list)) and len(value_range) == 2
            check(pair, self, "value_range", must, value_range)
            value_range = tuple(number(self, "value_range", end) for end in value_range)
            check(value_range[0] < value_range[1], self, "value_range", must, value_range)
        self.value_range = value_range
        self.distribution = one_of(self, "distribution", distribution, Distribution)

    def draw(self, images, chance):
        shape = ops.shape(images)
        noise = chance.noise(tuple(shape), self.distribution)
        return {"noise": noise, "stddev": chance.amount(self.stddev, shape[0])}

    def transform_images(self, images, drawn):
        stddev = drawn["stddev"]
        if len(getattr(stddev, "shape", ())):
            stddev = _mixing.like(stddev, images)
        x = calculable(images)
        added = self.added(ops.cast(x, "float32"), drawn["noise"], stddev)
        return stored(x + ops.cast(added, x.dtype), images.dtype, self.value_range)

    @abc.abstractmethod
    def added(self, values: Tensor, noise: Tensor, stddev: Tensor) -> Tensor:
        """Returns what is added to float32 values; the noise has a variance of 1."""

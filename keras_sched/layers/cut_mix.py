"""CutMix, after Yun et al. 2019."""

from typing import Any

from keras_sched import _mixing
from keras_sched import _ops as ops
from keras_sched._chance import amount
from keras_sched._types import Amount, DataFormat
from keras_sched.layers import boxes
from keras_sched.layers.beta import beta
from keras_sched.layers.cut_base import Cut


class CutMix(Cut):
    """Pastes into each training image a box of the one before it in the batch.

    From Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features" (2019). The box is centred on any pixel, cut off at the border,
    and its area before that is what a draw from Beta(alpha, alpha) leaves. Labels are
    mixed by the pixels that are really there. In a model they follow by
    `callbacks.LabelMixing`; outside of one by `augment`. Shuffle the data: partners are
    neighbours.

    Args:
        alpha: Parameter of the Beta distribution: 1 for areas of all sizes alike, as in
            the paper; 0 for no boxes. Or a pair to draw it between for each image; or a
            schedule of the layer's own steps.
        probability: Part of the images that get a box, from 0 to 1, or such a pair or
            schedule.
        data_format: "channels_last" or "channels_first". `None`: Keras's setting.
        seed: Integer, or `None` for another draw in each run.
        **kwargs: As for any Keras layer.

    Input: `(batch, height, width, channels)`, or channels first; `(batch, steps,
        channels)`, whose boxes are intervals; volumes. Any dtype.
    Output: The same shape and dtype.

    Raises:
        ValueError: For an argument out of these bounds, an input of another rank, or in
            training where nothing makes the labels follow.

    >>> images = np.repeat(np.eye(4), 64, axis=0).reshape(4, 8, 8, 4)
    >>> mixed, labels = CutMix(seed=1).augment(images, np.eye(4))
    >>> bool(np.all(np.array(mixed).mean((1, 2)) == np.array(labels)))
    True
    """

    ranks, mixes_labels = (3, 4, 5), True

    def __init__(
        self,
        alpha: Amount = 1.0,
        *,
        probability: Amount = 1.0,
        data_format: DataFormat | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(data_format=data_format, seed=seed, **kwargs)
        self.alpha = amount(self, "alpha", alpha)
        self.probability = amount(self, "probability", probability, most=1.0)

    def draw(self, images, chance):
        shape = ops.shape(images)
        sides, batch = self.sides(shape), shape[0]
        drawn = chance.uniform(batch, len(sides) + 3)
        acts = drawn[:, 0] < chance.amount(self.probability, batch)
        share = beta(chance.amount(self.alpha, batch), drawn[:, 1:3])
        return {"boxes": cut_boxes(share, drawn[:, 3:], sides, acts)}

    def kept(self, images, drawn):
        return 1 - boxes.share(drawn["boxes"], self.sides(ops.shape(images)))

    def transform_images(self, images, drawn):
        axes = self.axes(ops.shape(images))
        return boxes.cut(images, drawn["boxes"], axes, _mixing.before(images))

    def transform_masks(self, masks, drawn):
        return self.transform_images(masks, drawn)


def cut_boxes(share, chances, sides, acts):
    """Returns one box an image, of the area that `share` leaves, centred anywhere."""
    part = ops.power(1 - share, 1 / len(sides))[:, None]
    sizes = [ops.cast(part * ops.cast(side, "float32"), "int32") for side in sides]
    return boxes.draw(chances[:, None], sides, sizes, acts)

"""Mixup for some images, CutMix for the others, as timm does."""

from typing import Any

from keras_sched import _mixing
from keras_sched import _ops as ops
from keras_sched._chance import amount
from keras_sched._types import Amount, DataFormat
from keras_sched.layers import boxes
from keras_sched.layers.beta import beta
from keras_sched.layers.cut_base import Cut
from keras_sched.layers.cut_mix import cut_boxes
from keras_sched.layers.pixels import blend


class MixUpOrCutMix(Cut):
    """Blends each training image with the one before it, or pastes a box of that in.

    Which of the two is drawn for each image; the recipes of timm draw it for a batch.
    See `MixUp` and `CutMix`.

    Args:
        mixup_alpha: As `alpha` of `MixUp`.
        cutmix_alpha: As `alpha` of `CutMix`.
        switch_probability: Part of the images that get a box, from 0 to 1; or a pair to
            draw it between for each image; or a schedule of the layer's own steps.
        probability: Part of the images that get either.
        data_format: "channels_last" or "channels_first". `None`: Keras's setting.
        seed: Integer, or `None` for another draw in each run.
        **kwargs: As for any Keras layer.

    Input: As for `CutMix`. Output: The same shape and dtype.

    Raises:
        ValueError: For an argument out of these bounds, an input of another rank, or in
            training where nothing makes the labels follow.

    >>> images = np.repeat(np.eye(4), 64, axis=0).reshape(4, 8, 8, 4)
    >>> mixed, labels = MixUpOrCutMix(seed=1).augment(images, np.eye(4))
    >>> bool(np.allclose(np.array(mixed).mean((1, 2)), labels))
    True
    """

    ranks, mixes_labels, takes_masks = (3, 4, 5), True, False

    def __init__(
        self,
        mixup_alpha: Amount = 0.2,
        cutmix_alpha: Amount = 1.0,
        *,
        switch_probability: Amount = 0.5,
        probability: Amount = 1.0,
        data_format: DataFormat | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(data_format=data_format, seed=seed, **kwargs)
        self.mixup_alpha = amount(self, "mixup_alpha", mixup_alpha)
        self.cutmix_alpha = amount(self, "cutmix_alpha", cutmix_alpha)
        switch = amount(self, "switch_probability", switch_probability, most=1.0)
        self.switch_probability = switch
        self.probability = amount(self, "probability", probability, most=1.0)

    def draw(self, images, chance):
        shape = ops.shape(images)
        sides, batch = self.sides(shape), shape[0]
        drawn = chance.uniform(batch, len(sides) + 4)
        acts = drawn[:, 0] < chance.amount(self.probability, batch)
        cuts = drawn[:, 1] < chance.amount(self.switch_probability, batch)
        mixup = chance.amount(self.mixup_alpha, batch)
        cutmix = chance.amount(self.cutmix_alpha, batch)
        share = ops.where(cuts, beta(cutmix, drawn[:, 2:4]), beta(mixup, drawn[:, 2:4]))
        blends = ops.logical_and(acts, ops.logical_not(cuts))
        return {
            "boxes": cut_boxes(share, drawn[:, 4:], sides, ops.logical_and(acts, cuts)),
            "share": ops.where(blends, share, 1.0),
        }

    def kept(self, images, drawn):
        return drawn["share"] - boxes.share(drawn["boxes"], self.sides(ops.shape(images)))

    def transform_images(self, images, drawn):
        partner = _mixing.before(images)
        blended = blend(images, partner, 1 - _mixing.like(drawn["share"], images))
        axes = self.axes(ops.shape(images))
        return boxes.cut(blended, drawn["boxes"], axes, partner)

"""Mixup, after Zhang et al. 2017."""

from typing import Any

from keras_sched import _mixing
from keras_sched import _ops as ops
from keras_sched._chance import amount
from keras_sched._types import Amount
from keras_sched.layers.base import Augmentation
from keras_sched.layers.beta import beta
from keras_sched.layers.pixels import blend


class MixUp(Augmentation):
    """Blends each training image with the one before it in the batch, labels too.

    From Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2017). Of each image
    stays a part drawn from Beta(alpha, alpha). In a model the labels follow by
    `callbacks.LabelMixing`; outside of one by `augment`. Shuffle the data: partners are
    neighbours. At any depth of a model, for inputs of any rank (manifold mixup).

    Args:
        alpha: Parameter of the Beta distribution: 0.2 as for ImageNet in the paper, 1 for
            all blends alike, 0 for none. Or a pair to draw it between for each image; or
            a schedule of the layer's own steps.
        probability: Part of the images that are blended, from 0 to 1, or such a pair or
            schedule.
        seed: Integer, or `None` for another draw in each run.
        **kwargs: As for any Keras layer.

    Input: `(batch, ...)`, any dtype; integers are rounded.
    Output: The same shape and dtype.

    Raises:
        ValueError: For an argument out of these bounds, or in training where nothing
            makes the labels follow.

    >>> pairs = MixUp(1.0, seed=1).augment(np.eye(4), np.eye(4))
    >>> bool(np.allclose(*pairs))
    True
    """

    mixes_labels, takes_masks = True, False

    def __init__(
        self,
        alpha: Amount = 0.2,
        *,
        probability: Amount = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, **kwargs)
        self.alpha = amount(self, "alpha", alpha)
        self.probability = amount(self, "probability", probability, most=1.0)

    def draw(self, images, chance):
        batch = ops.shape(images)[0]
        drawn = chance.uniform(batch, 3)
        acts = drawn[:, 2] < chance.amount(self.probability, batch)
        share = beta(chance.amount(self.alpha, batch), drawn)
        return {"share": ops.where(acts, share, 1.0)}

    def kept(self, images, drawn):
        return drawn["share"]

    def transform_images(self, images, drawn):
        share = _mixing.like(drawn["share"], images)
        return blend(images, _mixing.before(images), 1 - share)

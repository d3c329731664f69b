"""What every augmentation shares: one draw, used for all it changes."""

import abc
import inspect
from typing import Any

import keras

from keras_sched import _mixing
from keras_sched._chance import Chance
from keras_sched._checks import check, integer
from keras_sched._types import Tensor
from keras_sched.layers.pairs import augment

_DENSE = (
    "one dense array: ragged ones padded before; labels, weights and masks given to fit, "
    "or to augment by their names; no boxes"
)


class Augmentation(keras.layers.Layer, abc.ABC):
    """Base of all augmentations: `draw` holds the chance, the rest is exact.

    In a model it acts on images in training and on nothing else. What it draws is a
    function of its seed and of how often it has drawn, which are saved with the model, so
    that a run that goes on draws what it would have drawn; in a model of its name, too,
    so that two layers of one seed differ.
    """

    ranks: tuple[int, ...] | None = (
        None  # Those that the layer takes. `None`: all from 2 on.
    )
    mixes_labels, takes_masks = False, True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("keras_sched")(cls)

    def __init__(self, *, seed: int | None = None, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.seed = seed if seed is None else integer(self, "seed", seed)
        self.generator = keras.random.SeedGenerator(self.seed)

    def build(self, input_shape):
        several = any(isinstance(side, (str, tuple, list)) for side in input_shape)
        check(not several, self, "images", _DENSE, f"{len(input_shape)} of them")
        self._check_rank(tuple(input_shape))

    def check_images(self, images: Tensor) -> None:
        """Refuses what is no dense batch of images of a rank that the layer takes."""
        kind, shaped = type(images).__name__, hasattr(images, "shape")
        dense = shaped and kind not in ("RaggedTensor", "SparseTensor")
        check(dense, self, "images", _DENSE, kind)
        self._check_rank(tuple(images.shape))
        text = "str" in str(images.dtype) or str(images.dtype).startswith("<U")
        check(not text, self, "images", "numbers", images.dtype)

    def _check_rank(self, shape):
        ranks = self.ranks or range(2, 99)
        must = f"of rank {' or '.join(map(str, self.ranks or ['2 or more']))}"
        check(len(shape) in ranks, self, "input", f"{must}, the batch first", shape)

    def call(self, images, training=False):
        self.check_images(images)
        if not training:
            return images
        drawn = self.draw(images, Chance.in_model(self))
        if self.mixes_labels:
            mixture = _mixing.current()
            must = "followed by the labels: give callbacks.LabelMixing() to fit, or use "
            must += "its augment on images and labels"
            check(mixture, self, "images", must, "a call in training")
            mixture.mix(self.kept(images, drawn), "boxes" in drawn)
        return self.transform_images(images, drawn)

    def augment(
        self,
        images: Tensor,
        labels: Any = None,
        sample_weight: Tensor | None = None,
        *,
        masks: Tensor | None = None,
        num_classes: int | None = None,
    ) -> Any:
        """Augments, whatever the mode, and returns what it was given.

        Args:
            images: Array or tensor, of a shape that the layer takes.
            labels: Labels of the images, one row each, or several such in a structure.
                Where layers mix them, class numbers become one-hot; others, as those of a
                regression, have to be floats.
            sample_weight: Weights of the images, `(batch,)`; the mean of those that were
                mixed. The loss is then that of the parts, each by its weight.
            masks: Segmentation masks, `(batch, height, width, channels)` or as the images
                are; boxes are cut out of them alike.
            num_classes: How many classes there are, where labels are class numbers.

        Returns:
            The images, or a tuple of what was given, in the order of the arguments.

        Raises:
            ValueError: For what is no such array, or no such labels.
        """
        given = images, labels, sample_weight, masks, num_classes
        return augment(self, Chance.of_layer(self), *given)

    @abc.abstractmethod
    def draw(self, images: Tensor, chance: Chance) -> dict[str, Any]:
        """Returns everything random about this batch, as a dict of tensors."""

    @abc.abstractmethod
    def transform_images(self, images: Tensor, drawn: dict[str, Any]) -> Tensor:
        """Returns the images changed as `drawn` says."""

    def kept(self, images: Tensor, drawn: dict[str, Any]) -> Tensor:
        """Returns the part of each image that is its own: `(batch,)`, float32."""
        raise NotImplementedError

    def transform_masks(self, masks: Tensor, drawn: dict[str, Any]) -> Tensor:
        """Returns segmentation masks changed as the images are."""
        return masks

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, images, training=False):
        self.check_images(images)
        return keras.KerasTensor(images.shape, images.dtype)

    def get_config(self):
        own = inspect.signature(type(self).__init__).parameters
        names = [n for n, p in own.items() if p.kind is not p.VAR_KEYWORD][1:]
        write = keras.saving.serialize_keras_object
        given = {name: write(getattr(self, name)) for name in names}
        return super().get_config() | given

    @classmethod
    def from_config(cls, config):
        return cls(
            **{n: keras.saving.deserialize_keras_object(config[n]) for n in config}
        )

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["generator"] = self.generator.state

    def load_own_variables(self, store):
        self.generator.state.assign(store["generator"])

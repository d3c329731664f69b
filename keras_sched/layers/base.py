"""What every augmentation shares: one draw, used for all it changes."""

import abc

import keras
from keras import ops

from keras_sched._checks import integer


class Augmentation(keras.layers.Layer, abc.ABC):
    """Base of all augmentations: `draw` holds the chance, the rest is exact.

    In a model it acts on images in training and on nothing else. What it draws is a
    function of its seed and of how often it has drawn; both are saved with the model, so
    that a run that goes on draws what it would have drawn.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("keras_sched")(cls)

    def __init__(self, *, seed=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.seed = seed if seed is None else integer(self, "seed", seed)
        self.generator = keras.random.SeedGenerator(self.seed)

    def call(self, images, training=False):
        return self.transform_images(images, self.draw(images)) if training else images

    def augment(self, images, labels=None):
        """Augments, whatever the mode, and returns what it was given.

        Args:
            images: Array or tensor, of the shape the layer takes.
            labels: Labels of the images, or `None`.

        Returns:
            The images, or the pair of images and labels.
        """
        images = ops.convert_to_tensor(images)
        self.build(tuple(images.shape))
        drawn = self.draw(images)
        changed = self.transform_images(images, drawn)
        return changed if labels is None else (changed, labels)

    @abc.abstractmethod
    def draw(self, images):
        """Returns everything random about this batch, as a dict of tensors."""

    @abc.abstractmethod
    def transform_images(self, images, drawn):
        """Returns the images changed as `drawn` says."""

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, images, training=False):
        return keras.KerasTensor(images.shape, images.dtype)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["generator"] = self.generator.state

    def load_own_variables(self, store):
        self.generator.state.assign(store["generator"])

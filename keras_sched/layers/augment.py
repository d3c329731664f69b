"""Layers in a `tf.data` pipeline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_sched import _draws, _passes
from keras_sched import _ops as ops
from keras_sched._chance import Chance
from keras_sched._checks import check, integer
from keras_sched.layers.base import Augmentation
from keras_sched.layers.pairs import augment as augment_pair

if TYPE_CHECKING:
    import tensorflow as tf


def augment(
    dataset: "tf.data.Dataset",
    layers: Augmentation | Sequence[Augmentation],
    *,
    seed: int = 0,
    epoch: int = 0,
    num_classes: int | None = None,
    num_parallel_calls: int | None = None,
) -> "tf.data.Dataset":
    """Returns a dataset whose batches are augmented, on any backend.

    Chance is a function of the seed, of the pass over the dataset, of the batch's place
    in it and of the layer's in the list: the same for any number of parallel calls and in
    every run, whatever seeds the layers were built with. Schedules see the batch's place.

    Args:
        dataset: `tf.data.Dataset` of batches: images, `(images, labels)`, or `(images,
            labels, sample_weight)`.
        layers: List of augmentation layers, or one.
        seed: Integer of at least 0.
        epoch: Number of the first pass over the dataset; the next has the next.
        num_classes: How many classes there are, where layers mix labels that are class
            numbers. They become one-hot.
        num_parallel_calls: As in `tf.data.Dataset.map`. `None`: tuned by TensorFlow.

    Returns:
        `tf.data.Dataset` of the same structure.

    Raises:
        ValueError: For other layers, or batches of another structure.

    >>> import tensorflow as tf
    >>> batches = tf.data.Dataset.from_tensors(np.ones((2, 4, 4, 1), "float32"))
    >>> holed = next(iter(augment(batches, [layers.Cutout(2, border="inside")])))
    >>> float(ops.sum(holed))
    24.0
    """
    import tensorflow as tf

    owner = "augment"
    integer(owner, "seed", seed)
    integer(owner, "epoch", epoch)
    each: list[Any] = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    ours = each and all(isinstance(layer, Augmentation) for layer in each)
    check(ours, owner, "layers", "augmentation layers", each)
    structure = dataset.element_spec
    parts = structure if isinstance(structure, tuple) else (structure,)
    must = "of images, (images, labels) or (images, labels, sample_weight)"
    check(len(parts) <= 3, owner, "dataset", must, structure)

    def one(number, index, batch):
        batch = batch if isinstance(structure, tuple) else (batch,)
        with ops.of_tensorflow():
            for place, layer in enumerate(each):
                key = _draws.apart(_draws.key((seed, place), index), number)
                chance = Chance(key, index)
                images, labels, weight = (*batch, None, None)[:3]
                batch = augment_pair(
                    layer, chance, images, labels, weight, None, num_classes
                )
                batch = batch if isinstance(batch, tuple) else (batch,)
        return batch if isinstance(structure, tuple) else batch[0]

    places = tf.data.Dataset.counter()
    numbered = tf.data.Dataset.zip(_passes.numbers(epoch), places, dataset)
    augmented = numbered.map(one, num_parallel_calls or tf.data.AUTOTUNE)
    count = int(dataset.cardinality())
    if count >= 0:
        augmented = augmented.apply(tf.data.experimental.assert_cardinality(count))
    return augmented.prefetch(tf.data.AUTOTUNE)

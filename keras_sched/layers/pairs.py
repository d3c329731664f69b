"""Images augmented together with what belongs to them, outside of a model."""

import keras

from keras_sched import _mixing
from keras_sched import _ops as ops
from keras_sched._checks import check


def augment(layer, chance, images, labels, sample_weight, masks, num_classes):
    """Returns what was given, augmented by a layer; see `Augmentation.augment`."""
    if isinstance(images, list):
        images = ops.convert_to_tensor(images)
    layer.check_images(images)
    images = ops.convert_to_tensor(images)
    layer.build(tuple(images.shape))
    drawn = layer.draw(images, chance)
    found = [layer.transform_images(images, drawn)]
    if layer.mixes_labels:
        mixture = _mixing.Mixture()
        mixture.mix(layer.kept(images, drawn))
        labels, sample_weight = _mixed(
            layer, mixture.shares, images.shape[0], labels, sample_weight, num_classes
        )
    if masks is not None:
        must = "left out: a blend of two masks is no mask"
        check(layer.takes_masks, layer, "masks", must, "masks")
        masks = layer.transform_masks(ops.convert_to_tensor(masks), drawn)
    found += [each for each in (labels, sample_weight, masks) if each is not None]
    return found[0] if len(found) == 1 else tuple(found)


def _mixed(layer, shares, batch, labels, sample_weight, num_classes):
    """Returns labels and weights of images that consist of others by their shares."""
    dtype = None
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight)
        dtype = sample_weight.dtype
    shares, weight = _mixing.weighted(shares, sample_weight)

    def follow(leaf):
        leaf = ops.convert_to_tensor(leaf)
        rows = leaf.shape[0] if len(leaf.shape) else 0
        must = f"one row for each of the {batch} images"
        check(rows == batch or None in (rows, batch), layer, "labels", must, leaf.shape)
        leaf = _as_shares(layer, leaf, num_classes)
        return ops.cast(_mixing.mixed(shares, leaf), leaf.dtype)

    labels = None if labels is None else keras.tree.map_structure(follow, labels)
    return labels, None if weight is None else ops.cast(weight, dtype)


def _as_shares(layer, labels, num_classes):
    """Returns labels that can be averaged: class numbers one-hot, the rest as it is."""
    if "int" not in keras.backend.standardize_dtype(labels.dtype):
        return labels
    if len(labels.shape) > 1 and labels.shape[-1] != 1:
        return ops.cast(labels, "float32")
    must = "given for class numbers (labels that are no classes: as floats)"
    check(num_classes, layer, "num_classes", must, num_classes)
    flat = ops.reshape(labels, ops.shape(labels)[:1])
    return ops.one_hot(flat, num_classes, dtype="float32")

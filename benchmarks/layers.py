"""Time of each augmentation layer, over `x + 1` and over its peers.

Each beside its peer, by turns, on the same images: in a graph and compiled by XLA
(TensorFlow), compiled (JAX); and on TensorFlow inside a `tf.data` pipeline. Peers are the
layers of Keras, NumPy image by image as torchvision does it, and, where it is installed,
albumentations. Prints the median of the ratios and where it lies with a confidence of
95 %; exits with 1 where all of that is past a budget of DESIGN. It needs `greenlet`.

    KERAS_BACKEND=tensorflow python benchmarks/layers.py
    KERAS_BACKEND=jax python benchmarks/layers.py --batch 256 --side 224
"""

import functools
import math
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from timing import arguments, compare, interval

from keras_sched import layers

BACKEND = keras.backend.backend()
OURS = {
    "Cutout": lambda: layers.Cutout(8, seed=0),
    "RandomErasing": lambda: layers.RandomErasing(probability=1, seed=0),
    "MixUp": lambda: layers.MixUp(seed=0),
    "CutMix": lambda: layers.CutMix(seed=0),
    "MixUpOrCutMix": lambda: layers.MixUpOrCutMix(seed=0),
    "AdditiveGaussianNoise": lambda: layers.AdditiveGaussianNoise(0.1, seed=0),
    "the same, uniform": lambda: layers.AdditiveGaussianNoise(
        0.1, distribution="uniform", seed=0
    ),
}
ERASING = keras.layers.RandomErasing((1.0, 1.0), fill_value=0.0, seed=0)
KERAS = {
    "Cutout": ERASING,
    "RandomErasing": ERASING,
    "MixUp": keras.layers.MixUp(seed=0),
    "CutMix": keras.layers.CutMix(seed=0),
    "AdditiveGaussianNoise": keras.layers.GaussianNoise(0.1, seed=0),
    "the same, uniform": keras.layers.GaussianNoise(0.1, seed=0),
}
CHANCE = np.random.default_rng(0)


def boxed(images, others, side):
    """Returns images with a box each, centred anywhere, out of others."""
    images, length = images.copy(), images.shape[1]
    centres = CHANCE.integers(0, length, (len(images), 2))
    low = np.maximum(centres - side // 2, 0)
    high = np.minimum(centres + side // 2, length)
    for image, other, (y, x), (bottom, right) in zip(images, others, low, high):
        image[y:bottom, x:right] = other[y:bottom, x:right]
    return images


def blended(images):
    share = CHANCE.beta(0.2, 0.2, (len(images), 1, 1, 1)).astype("float32")
    return share * images + (1 - share) * np.roll(images, 1, 0)


NUMPY = {
    "Cutout": lambda images: boxed(images, np.zeros_like(images), 8),
    "MixUp": blended,
    "CutMix": lambda images: boxed(images, np.roll(images, 1, 0), 16),
    "AdditiveGaussianNoise": lambda images: (
        images + np.float32(0.1) * CHANCE.standard_normal(images.shape, "float32")
    ),
}


def albumentations():
    """Returns what albumentations has of these, if it is installed."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        import albumentations as peer
    except ImportError:
        return {}
    sides = dict(hole_height_range=(8, 8), hole_width_range=(8, 8))
    of_one = {
        "Cutout": peer.CoarseDropout(num_holes_range=(1, 1), **sides, fill=0, p=1),
        "RandomErasing": peer.Erasing(scale=(0.02, 0.33), p=1),
        "AdditiveGaussianNoise": peer.GaussNoise(std_range=(0.1, 0.1), p=1),
    }

    def over(one):
        return lambda images: np.stack([one(image=image)["image"] for image in images])

    return {name: over(one) for name, one in of_one.items()}


HOSTS = {"NumPy": NUMPY, "albumentations": albumentations()}
MIXED, BATCHES = ("MixUp", "CutMix"), 200
BUDGETS = {("compiled", name, "x + 1"): 1.5 for name in ("Cutout", *MIXED)} | {
    ("graph", "Cutout", "x + 1"): 3.0,
    ("graph", "Cutout", "Keras"): 0.2,
    ("graph", "CutMix", "Keras"): 0.45,
    ("graph", "MixUp", "Keras"): 1.1,
    ("graph", "AdditiveGaussianNoise", "Keras"): 1.1,
    ("graph", "the same, uniform", "Keras"): 0.35,
    ("compiled", "AdditiveGaussianNoise", "Keras"): 0.05,
    ("pipeline", "Cutout", "Keras"): 0.15,
    ("pipeline", "CutMix", "Keras"): 0.3,
}


def ours(name):
    layer = OURS[name]()
    return lambda images: layer.augment(images)


def peer(name):
    """Returns what Keras's layer does to images, and to labels where it mixes those."""
    layer = KERAS[name]
    if name in MIXED:

        def mix(images):
            labels = keras.ops.zeros((keras.ops.shape(images)[0], 10))
            return layer({"images": images, "labels": labels}, training=True)["images"]

        return mix
    return lambda images: layer(images, training=True)


def mode(name, function, images):
    """Returns a function of nothing that does it all once, and waits for it."""
    if BACKEND == "jax":
        import jax

        def stateless(images):
            with keras.StatelessScope():
                return function(images)

        jitted = jax.jit(stateless)
        return lambda: jax.block_until_ready(jitted(images))
    import tensorflow as tf

    compiled = tf.function(function, jit_compile=name == "compiled")
    return lambda: compiled(images)


def images_of(function, images, labels):
    return function(images), labels


def pipeline(data):
    def go():
        for _ in data:
            pass

    return go


def pairs(batch, side):
    """Yields a mode, a name, a peer's name and two functions to compare."""
    images = np.random.default_rng(0).random((batch, side, side, 3), "float32")
    tensor = keras.ops.convert_to_tensor(images)
    for kind in ("compiled",) if BACKEND == "jax" else ("graph", "compiled"):
        plus = mode(kind, lambda x: x + 1, tensor)
        for name in OURS:
            here = mode(kind, ours(name), tensor)
            yield kind, name, "x + 1", here, plus
            unable = BACKEND == "tensorflow" and kind == "compiled" and name in MIXED
            if name in KERAS and not unable:
                yield kind, name, "Keras", here, mode(kind, peer(name), tensor)
            for host, functions in HOSTS.items():
                if name in functions and (kind == "graph" or BACKEND == "jax"):
                    there = functools.partial(functions[name], images)
                    yield kind, name, host, here, there
    if BACKEND == "tensorflow":
        import tensorflow as tf

        labels = np.zeros((batch, 10), "float32")
        data = tf.data.Dataset.from_tensors((images, labels)).repeat(BATCHES)
        for name in ("Cutout", *MIXED):
            mapped = data.map(functools.partial(images_of, peer(name)), tf.data.AUTOTUNE)
            augmented = layers.augment(data, OURS[name]())
            yield "pipeline", name, "Keras", pipeline(augmented), pipeline(mapped)


def main():
    parser = arguments(__doc__, rounds=40)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--only", default="", help="measure what has this in its name")
    given, past = parser.parse_args(), []
    print(f"{BACKEND}, {given.batch} images of {given.side} x {given.side} x 3")
    for kind, name, other, one, two in pairs(given.batch, given.side):
        if given.only not in f"{kind} {name} {other}":
            continue
        rounds = given.rounds if kind != "pipeline" else max(given.rounds // 4, 6)
        ratios, (first, second) = compare(one, two, rounds)
        low, middle, high = interval(ratios)
        budget = BUDGETS.get((kind, name, other), math.inf)
        if BACKEND == "jax" and other == "Keras":  # Which has no fault to mend there.
            budget = math.inf
        limit = f", budget {budget:g}" if budget < math.inf else ""
        took = f"{first * 1e3:7.2f} ms, {second * 1e3:7.2f} ms"
        print(
            f"{kind:8} {took}, ratio {middle:.3f} ({low:.3f} to {high:.3f})"
            f"{limit}; {name}, {other}",
            flush=True,
        )
        if low > budget * given.slack:
            past.append(f"{kind} {name}")
    sys.exit(f"past the budget: {', '.join(past)}" if past else 0)


if __name__ == "__main__":
    main()

"""CIFAR-10 in minutes: TFRecords, augmentation, one cycle of rate and momentum.

A small net of stock Keras layers after Jordan (2024, arXiv:2404.00498), by one of two
recipes: `cutout24`, a narrower net, crops, flips and cutout for 24 epochs, as in
DAWNBench (Page 2018); `fast`, twelve epochs without cutout, with averaged weights. What
is told is the accuracy on the test images after the last epoch, by six views of each,
both sides, in place and moved by a pixel; and by one.

    python examples/cifar10.py --preset fast --seeds 3

Kill it and run it again: it goes on. On two cores, TensorFlow: `fast` 94.16 %, 94.24 %
and 93.84 % (seeds 0 to 2), 94.08 % ± 0.21 %; a run is 1,106 s with `--dtype
mixed_bfloat16`, where the processor has it, and 4,137 s in float32 on slower cores. On
these `cutout24`, one run, 93.66 %, by one view 92.85 %, in 5,130 s.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # Off by default on older CPUs.

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_sched import callbacks, layers, tfrecord

MEAN, DEVIATION = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)  # Of the pixels, 0 to 255.
PRESETS = {
    "cutout24": {
        "widths": (64, 128, 256),
        "epochs": 24,
        "batch": 512,
        "shift": 4,
        "cutout": 8,
        "cycle": dict(max_learning_rate=0.65, pct_start=0.25, final_div_factor=1e4),
    },
    "fast": {
        "widths": (64, 256, 256),
        "epochs": 12,
        "batch": 1024,
        "shift": 2,
        "cycle": dict(max_learning_rate=1.5, pct_start=0.23, final_div_factor=4.0),
        "average": 0.97,
    },
}
SMOKE = {"epochs": 2, "batch": 32, "widths": (8, 16, 16)}


@keras.saving.register_keras_serializable("cifar10")
class AlternatingFlip(keras.layers.Layer):
    """Flips each image in every second epoch, half of them in the even ones.

    So both sides of all are seen within any two epochs. Which in which, the sum of an
    image's pixels tells: even or odd.
    """

    def __init__(self, steps_per_epoch, **how):
        super().__init__(**how)
        self.steps_per_epoch = steps_per_epoch

    def build(self, shape):
        kind = dict(dtype="int32", initializer="zeros", trainable=False)
        self.step = self.add_weight(shape=(), name="step", **kind)

    def call(self, images, training=False):
        if not training:
            return images
        epoch = self.step // self.steps_per_epoch
        self.step.assign(self.step + 1)
        sums = ops.sum(ops.cast(images, "int32"), axis=(1, 2, 3), keepdims=True)
        return ops.where((sums + epoch) % 2 == 1, ops.flip(images, axis=2), images)

    def get_config(self):
        return super().get_config() | {"steps_per_epoch": self.steps_per_epoch}


@keras.saving.register_keras_serializable("cifar10")
class Bias(keras.layers.Layer):
    """A bias that learns `speed` times as fast as other weights."""

    def __init__(self, speed=1, **how):
        super().__init__(**how)
        self.speed = speed

    def build(self, shape):
        self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")

    def call(self, inputs):
        return inputs + self.speed**0.5 * ops.cast(self.bias, inputs.dtype)

    def get_config(self):
        return super().get_config() | {"speed": self.speed}


def network(preset, steps_per_epoch):
    """Returns the net, behind what changes the images while it trains."""
    uniform = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    plain = dict(use_bias=False, kernel_initializer=uniform)
    norm = dict(momentum=0.6, epsilon=1e-5, center=False, scale=False)
    shift, gelu = (preset["shift"] + 0.5) / 32, keras.activations.gelu  # By whole pixels.

    def convolution(filters, *between):
        yield keras.layers.Conv2D(filters, 3, padding="same", **plain)
        yield from between
        yield keras.layers.BatchNormalization(**norm)
        yield Bias(speed=64)
        yield keras.layers.Activation(gelu)

    parts = [
        keras.Input((32, 32, 3), dtype="uint8"),
        AlternatingFlip(steps_per_epoch, dtype="uint8"),
        keras.layers.Normalization(mean=MEAN, variance=np.square(DEVIATION)),
        keras.layers.RandomTranslation(shift, shift, "reflect", "nearest"),
    ]
    if "cutout" in preset:
        parts.append(layers.Cutout(preset["cutout"]))
    parts.append(
        keras.layers.Conv2D(24, 2, use_bias=False, trainable=False, name="white")
    )
    parts += [Bias(), keras.layers.Activation(gelu)]
    for filters in preset["widths"]:
        parts += convolution(filters, keras.layers.MaxPooling2D())
        parts += convolution(filters)
    parts += [keras.layers.MaxPooling2D(3), keras.layers.Flatten()]
    parts += [keras.layers.Dense(10, **plain), keras.layers.Rescaling(1 / 9)]
    return keras.Sequential(parts)


def begin(model, images):
    """Has the first layer whiten patches of pixels, and the others hand on what comes."""
    x = (images[:5000].astype("float32") - MEAN) / DEVIATION
    patches = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 2))
    patches = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12)
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    white = (vectors / np.sqrt(values + 5e-4)).reshape(2, 2, 3, 12)
    first, *others = (one for one in model.layers if isinstance(one, keras.layers.Conv2D))
    first.kernel.assign(np.concatenate([white, -white], axis=-1))
    for layer in others:
        kernel = np.array(ops.convert_to_numpy(layer.kernel))
        many = min(kernel.shape[2:])
        kernel[..., :many] = 0
        kernel[1, 1, range(many), range(many)] = 1
        layer.kernel.assign(kernel)


def train(preset, records, folder, seed):
    """Trains one net, or goes on with it; returns its accuracy on the test images.

    Twice: what six views of each tell, and what the image alone does.
    """
    keras.utils.set_random_seed(seed)
    checkpoint = callbacks.CheckpointEarlyStopping(
        folder, monitor="loss", restore_best=False
    )
    data = tfrecord.load(
        records,
        batch_size=preset["batch"],
        shuffle=True,
        seed=seed,
        epoch=checkpoint.initial_epoch(),
        drop_remainder=True,
    )
    model = network(preset, steps_per_epoch=len(data))
    begin(model, next(iter(tfrecord.load(records, batch_size=5000)))[0].numpy())
    optimizer = keras.optimizers.SGD(momentum=0.9, nesterov=True, weight_decay=0.0089)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    model.compile(optimizer, loss, metrics=["accuracy"])
    cycle = dict(div_factor=5.0, anneal="linear", base_momentum=0.85, max_momentum=0.9)
    recipe = [callbacks.OneCycle(**preset["cycle"] | cycle)]
    if "average" in preset:
        recipe.append(callbacks.WeightAveraging(decay=preset["average"]))
    data = data.map(lambda x, y: (x, tf.one_hot(y, 10)))
    how = dict(epochs=preset["epochs"], verbose=2, shuffle=False)
    model.fit(data, callbacks=[*recipe, checkpoint], **how)
    test = tfrecord.load(records, "test", batch_size=10_000)
    images, labels = (array.numpy() for array in next(iter(test)))
    told = [w * model.predict(x, batch_size=500, verbose=0) for w, x in several(images)]
    return [np.mean(logits.argmax(-1) == labels) for logits in (sum(told), told[0])]


def several(images):
    """Yields both sides of images, in place and moved by a pixel, and what they count."""
    rim = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    moved = rim[:, :32, :32], rim[:, 2:, 2:]
    for weight, view in (2, images), (1, moved[0]), (1, moved[1]):
        yield weight, view
        yield weight, view[:, :, ::-1]


def records_in(directory, data, smoke=False):
    """Returns the folder of the records, which are written if they are not there.

    Args:
        directory: Folder of the run.
        data: What `tfrecord.convert` takes by name, an npz file, or a folder of records.
        smoke: Whether to make few images up, whose colour tells their class.
    """
    if (pathlib.Path(data) / "metadata.json").exists():
        return pathlib.Path(data)
    records = directory / "records"
    if (records / "dataset_info.json").exists():
        return records
    source = data
    if smoke:
        chance = np.random.default_rng(0)
        y = chance.integers(0, 10, 500)
        x = chance.integers(0, 60, (500, 32, 32, 3)) + 20 * y[:, None, None, None]
        x = x.astype("uint8")
        source = {"train": (x[:400], y[:400]), "test": (x[400:], y[400:])}
    elif data.endswith(".npz"):
        with np.load(data) as arrays:
            source = {
                split: (
                    arrays[f"x_{split}"],
                    arrays[f"y_{split}"].ravel().astype("int64"),
                )
                for split in ("train", "test")
            }
    tfrecord.convert(source, records)
    return records


def parser(document):
    """Returns what reads the arguments that the examples on CIFAR-10 share."""
    made = argparse.ArgumentParser(description=document.splitlines()[0])
    told = "tfds:cifar10, an npz with x_train, y_train, x_test and y_test, or records"
    made.add_argument("--data", default="tfds:cifar10", help=told)
    made.add_argument("--directory", type=pathlib.Path, default="cifar10_run")
    made.add_argument("--seeds", type=int, default=1, help="how many runs")
    made.add_argument("--smoke", action="store_true", help="seconds, without data")
    return made


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--preset", choices=PRESETS, default="fast")
    arguments.add_argument("--first-seed", type=int, default=0)
    told = "mixed_bfloat16 is faster where the processor has it, much slower where not"
    arguments.add_argument("--dtype", default="float32", help=told)
    given = arguments.parse_args()
    keras.mixed_precision.set_global_policy(given.dtype)
    preset = PRESETS[given.preset] | (SMOKE if given.smoke else {})
    records = records_in(given.directory, given.data, given.smoke)
    found = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        begun = time.perf_counter()
        folder = given.directory / f"{given.preset}-{seed}"
        found.append(train(preset, records, folder, seed))
        told = "test accuracy {:.2%}, by one view {:.2%}".format(*found[-1])
        print(f"seed {seed}: {told}, in {time.perf_counter() - begun:.0f} s", flush=True)
    if len(found) > 1:
        views = zip(np.mean(found, 0), np.std(found, 0, ddof=1))
        told = ", by one view ".join(f"{mean:.2%} ± {sd:.2%}" for mean, sd in views)
        print(f"{given.preset}, {len(found)} runs: test accuracy {told}")


if __name__ == "__main__":
    main()

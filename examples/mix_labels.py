"""Cutout, MixUp and CutMix against nothing, on handwritten digits: accuracy, calibration.

A small convolutional net learns from 300 of scikit-learn's digits and is tested on the
other 1,497, three times from other seeds. The calibration error says by how much the net
is surer of itself than it is right, or less sure (Guo et al., 2017; 15 bins).

Two cores, TensorFlow, 209 s:

| | accuracy | calibration error |
|---|---|---|
| plain | 97.4% ± 0.4% | 1.3% ± 0.4% |
| Cutout(3) | 96.5% ± 0.2% | 1.2% ± 0.2% |
| MixUp(0.4) | 97.0% ± 0.2% | 7.3% ± 0.1% |
| CutMix(1.0) | 96.8% ± 0.3% | 12.5% ± 0.8% |

So digits of 8 x 8 pixels, whose every stroke counts, gain nothing; and a net that has
learned mixed labels is less sure than it is right.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_sched import callbacks, layers

WAYS = {
    "plain": list,
    "Cutout(3)": lambda: [layers.Cutout(3)],
    "MixUp(0.4)": lambda: [layers.MixUp(0.4)],
    "CutMix(1.0)": lambda: [layers.CutMix(1.0)],
}


def data(seed, count=300):
    """Returns images and labels to train with, and those to test on."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].reshape(-1, 8, 8, 1).astype("float32") / 16, y[order]
    return x[:count], y[:count], x[count:], y[count:]


def network(augmentations):
    conv = [
        keras.layers.Conv2D(n, 3, padding="same", activation="relu") for n in (32, 64)
    ]
    pool = keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dropout(0.3)
    head = keras.layers.Dense(10, "softmax")
    return keras.Sequential([keras.Input((8, 8, 1)), *augmentations, *conv, *pool, head])


def calibration_error(chances, labels, bins=15):
    sure, right = chances.max(1), chances.argmax(1) == labels
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(right[place == b].sum() - sure[place == b].sum()) for b in range(bins)]
    return sum(gaps) / len(labels)


def result(way, seed, epochs):
    """Returns the accuracy on the test images and the calibration error."""
    keras.utils.set_random_seed(seed)
    x, y, *test = data(seed)
    model = network(WAYS[way]())
    model.compile("adam", "sparse_categorical_crossentropy")
    recipe = [callbacks.OneCycle(5e-3), callbacks.LabelMixing()]
    model.fit(x, y, batch_size=30, epochs=epochs, callbacks=recipe, verbose=0)
    chances = model.predict(test[0], batch_size=500, verbose=0)
    return np.mean(chances.argmax(1) == test[1]), calibration_error(chances, test[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    given, begun = parser.parse_args(), time.perf_counter()
    print("| | accuracy | calibration error |\n|---|---|---|")
    for way in WAYS:
        found = [result(way, seed, given.epochs) for seed in range(given.seeds)]
        cells = [
            f"{m:.1%} ± {s:.1%}" for m, s in zip(np.mean(found, 0), np.std(found, 0))
        ]
        print(f"| {way} | {' | '.join(cells)} |", flush=True)
    print(f"{keras.backend.backend()}, {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()

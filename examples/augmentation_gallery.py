"""Draws what each layer makes of six pictures that come with scikit-learn."""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib
import numpy as np
import sklearn.datasets

matplotlib.use("Agg")

from keras_sched import layers, plot

SIDE = 200
LAYERS = {
    "Cutout": layers.Cutout(50, fill_value=(124, 116, 104), seed=1),
    "RandomErasing": layers.RandomErasing(probability=1, seed=2),
    "MixUp": layers.MixUp(1.0, seed=3),
    "CutMix": layers.CutMix(seed=4),
    "MixUpOrCutMix": layers.MixUpOrCutMix(1.0, seed=5),
    "Additive\nGaussianNoise": layers.AdditiveGaussianNoise((5.0, 60.0), seed=6),
    "Multiplicative\nGaussianNoise": layers.MultiplicativeGaussianNoise(0.3, seed=7),
    "SignalDependent\nGaussianNoise": layers.SignalDependentGaussianNoise(5, 5, seed=8),
}


def pictures():
    """Returns three squares of each of the two photographs, uint8."""
    temple, flower = sklearn.datasets.load_sample_images().images
    squares = [
        image[top : top + SIDE : 2, left : left + SIDE : 2]
        for image, top, left in (
            (temple, 90, 0),
            (flower, 90, 170),
            (temple, 190, 220),
            (flower, 20, 260),
            (temple, 120, 430),
            (flower, 190, 300),
        )
    ]
    return np.stack(squares)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", default="augmentations.png", type=pathlib.Path)
    arguments = parser.parse_args()
    plot.save(plot.augmentations(pictures(), LAYERS), arguments.picture, dpi=60)
    print(arguments.picture)


if __name__ == "__main__":
    main()

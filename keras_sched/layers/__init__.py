"""Layers: images into images, in training only; labels follow where they must."""

from keras_sched.layers.additive_gaussian_noise import AdditiveGaussianNoise
from keras_sched.layers.augment import augment
from keras_sched.layers.cut_mix import CutMix
from keras_sched.layers.cutout import Cutout
from keras_sched.layers.mix_up import MixUp
from keras_sched.layers.mix_up_or_cut_mix import MixUpOrCutMix
from keras_sched.layers.multiplicative_gaussian_noise import MultiplicativeGaussianNoise
from keras_sched.layers.random_erasing import RandomErasing
from keras_sched.layers.signal_dependent_gaussian_noise import (
    SignalDependentGaussianNoise,
)

__all__ = [
    "AdditiveGaussianNoise",
    "CutMix",
    "Cutout",
    "MixUp",
    "MixUpOrCutMix",
    "MultiplicativeGaussianNoise",
    "RandomErasing",
    "SignalDependentGaussianNoise",
    "augment",
]

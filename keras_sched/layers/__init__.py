"""Layers: images into images, in training only."""

from keras_sched.layers.cutout import Cutout

__all__ = ["Cutout"]

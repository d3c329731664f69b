"""Several saved models that predict as one."""

import gc
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sched import _random
from keras_sched._checks import check, number
from keras_sched._types import Activation, PathLike


def ensemble(
    paths: Iterable[PathLike], *, weights: Iterable[float] | None = None
) -> "Ensemble":
    """Makes one predictor of several saved models: the mean of what they predict.

    Only one model at a time is in memory. Classes that Keras cannot find by themselves
    are given by `keras.saving.custom_object_scope`, as for `keras.saving.load_model`.

    Args:
        paths: Model files that `keras.saving.load_model` opens: snapshots, the best of
            several runs, any.
        weights: How much each model counts: numbers of at least 0, not all 0. `None`:
            all alike.

    Returns:
        `Ensemble`.

    Raises:
        ValueError: For no paths, a file that does not exist, or weights out of bounds.

    >>> paths = [directory / "a.keras", directory / "b.keras"]
    >>> for path in paths:
    ...     keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(path)
    >>> both = ensemble(paths)
    >>> shares = both.predict(np.ones((2, 4)), activation="softmax", verbose=0)
    >>> shares.shape, np.allclose(shares.sum(axis=1), 1)
    ((2, 3), True)
    """
    return Ensemble(paths, weights=weights)


class Ensemble:
    """Saved models that predict as one; `ensemble` makes it and describes the arguments.

    Attributes:
        paths: Tuple of the files, as `pathlib.Path`s.
        weights: Tuple of what each counts, as floats that add up to 1.
    """

    def __init__(
        self, paths: Iterable[PathLike], *, weights: Iterable[float] | None = None
    ):
        several = not isinstance(paths, (str, os.PathLike))
        check(several, self, "paths", "several, in a list", paths)
        self.paths = tuple(pathlib.Path(path).expanduser().absolute() for path in paths)
        check(self.paths, self, "paths", "at least one file", paths)
        for path in self.paths:
            check(path.is_file(), self, "paths", "files that exist", str(path))
        alike = [1] * len(self.paths)
        self.weights = self._normalized(alike if weights is None else weights)

    def models(self) -> list[keras.Model]:
        """Returns the models, loaded and compiled as they were saved, in a list."""
        return [_load(path) for path in self.paths]

    def predict(self, x: Any, *, activation: Activation | None = None, **how: Any) -> Any:
        """Returns the mean of the models' predictions, summed in float64 on the host.

        Args:
            x: What `model.predict` takes. Each model goes through it anew, and must find
                it in the same order: no dataset that shuffles, no generator.
            activation: Name of a Keras activation, or a function of a tensor, which each
                model's outputs go through first: "softmax" where models give logits,
                "sigmoid" where these are binary, so that probabilities are averaged.
            **how: As in `model.predict`: `batch_size`, `verbose`, `steps`, `callbacks`.

        Returns:
            NumPy array, or nest of arrays, of the shape and dtype of one model's outputs.

        Raises:
            ValueError: For data that can be gone through only once, or if a model's
                outputs are not like those of the first, or no floating-point numbers.
        """
        anew = len(self.paths) == 1 or not hasattr(x, "__next__")
        check(anew, self, "x", "data that each model can go through anew", x)
        activate = None if activation is None else keras.activations.get(activation)
        like: Any = None
        sums: list[Any] = []
        for path, weight in zip(self.paths, self.weights):
            outputs = _predicted(path, x, how)
            kinds = keras.tree.map_structure(_kind, outputs)
            like = like or kinds
            self._check_alike(path, like, kinds)
            flat = keras.tree.flatten(outputs)
            sums = sums or [0.0] * len(flat)
            sums = [s + weight * _wide(o, activate) for s, o in zip(sums, flat)]
        means = [s.astype(o.dtype) for s, o in zip(sums, flat)]
        return keras.tree.pack_sequence_as(outputs, means)

    def _normalized(self, weights):
        weights = tuple(number(self, "weights", weight) for weight in weights)
        must = f"{len(self.paths)} numbers of at least 0, not all 0"
        fits = len(weights) == len(self.paths) and min(weights) >= 0 and sum(weights) > 0
        check(fits, self, "weights", must, weights)
        return tuple(weight / sum(weights) for weight in weights)

    def _check_alike(self, path, like, kinds):
        paths = [str(path) for path in self.paths]
        floats = all("float" in kind for kind in keras.tree.flatten(kinds))
        must = f"models that give floating-point numbers; {path} gives {kinds}"
        check(floats, self, "paths", must, paths)
        must = f"models that give the same, like the first {like}; {path} gives {kinds}"
        check(kinds == like, self, "paths", must, paths)


def _load(path, **how):
    """Loads a model; the chance that its initial weights drew on is put back."""
    chance = _random.state()
    try:
        return keras.saving.load_model(path, **how)
    finally:
        _random.restore(chance)


def _predicted(path, x, how):
    outputs = _load(path, compile=False).predict(x, **how)
    gc.collect()  # A model and its functions hold each other: it would stay for a while.
    return outputs


def _kind(output):
    return f"{output.dtype}{list(output.shape)}"


def _wide(output, activate):
    """Returns a model's output in float64, activated in float32 at least."""
    if activate is not None:
        dtype = keras.backend.result_type(str(output.dtype), "float32")
        with keras.device("cpu"):
            activated = activate(ops.convert_to_tensor(output, dtype))
            output = ops.convert_to_numpy(activated)
    return np.asarray(output, "float64")

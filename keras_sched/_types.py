"""What arguments are annotated with. Nothing is imported for it."""

import os
from collections.abc import Callable
from typing import Any, Literal, Protocol


class ScheduleLike(Protocol):
    """A schedule, of ours or of Keras."""

    def __call__(self, step: Any) -> Any: ...

    def get_config(self) -> Any: ...


Tensor = Any  # Of a backend, or an array of NumPy: they have no type in common.
PathLike = str | os.PathLike[str]
Rate = float | ScheduleLike
Pair = tuple[float, float] | list[float]  # Low and high.
Amount = float | Pair | ScheduleLike
Activation = str | Callable[[Tensor], Tensor]
OnNan = Literal["stop", "raise", "ignore", "rollback"]
Mode = Literal["auto", "min", "max"]
Recipe = Literal["pytorch", "fastai", "paper"]
Anneal = Literal["cosine", "linear"]
DataFormat = Literal["channels_last", "channels_first"]
Distribution = Literal["normal", "uniform"]
ImageFormat = Literal["keep", "raw", "jpeg", "png", "bmp", "gif", "webp"]
Averaging = Literal["ema", "swa"]
Border = Literal["clip", "inside"]
OnError = Literal["raise", "skip"]

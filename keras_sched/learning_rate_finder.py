"""The learning-rate range test of Smith (2015), which leaves no trace."""

import contextlib
import dataclasses
import functools
import math
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, Unpack, overload

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_sched import _atomic, _fit_loop, _mixing, _random
from keras_sched._checks import check, integer, number, one_of
from keras_sched._types import PathLike, Tensor
from keras_sched.hyperparameters import reset, schedule_hyperparameters

if TYPE_CHECKING:
    from keras_sched.plot import Axes

_CLEAR = 6  # Of 100 losses that only differ by chance, 95 in 100 fall by less.

Method = Literal["steepest", "valley", "slide", "minimum"]


class _Options(TypedDict, total=False):
    """What `find_learning_rate` takes, whatever it returns."""

    min_learning_rate: float
    max_learning_rate: float
    steps: int
    batch_size: int | None
    divergence_factor: float
    repeats: int
    sample_weight: Any
    class_weight: Mapping[int, float] | None
    shuffle: bool
    verbose: int


@overload
def find_learning_rate(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    weight_decays: None = None,
    **options: Unpack[_Options],
) -> "LearningRateCurve": ...


@overload
def find_learning_rate(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    weight_decays: Iterable[float],
    **options: Unpack[_Options],
) -> "dict[float, LearningRateCurve]": ...


def find_learning_rate(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    min_learning_rate: float = 1e-7,
    max_learning_rate: float = 10.0,
    steps: int = 100,
    batch_size: int | None = None,
    divergence_factor: float = 4.0,
    repeats: int = 1,
    weight_decays: Iterable[float] | None = None,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    shuffle: bool = True,
    verbose: int = 1,
) -> "LearningRateCurve | dict[float, LearningRateCurve]":
    """Trains for some batches at ever higher rates, and returns the losses.

    The rate rises by the same factor from batch to batch, inside the compiled step.
    Losses are those of each batch (Keras's logs show a running mean, which lags). Data
    shorter than `steps` are gone through again. The optimizer starts with fresh slots:
    the momentum of earlier training would go on moving the weights.

    Afterwards the model, its optimizer and metrics, and the generators of Python, NumPy
    and torch are what they were, to the bit, whatever happened; the rate the optimizer
    was compiled with, a float or a schedule, is not touched. From Smith, "Cyclical
    Learning Rates for Training Neural Networks" (2015).

    Args:
        model: A compiled Keras model.
        x: Whatever `model.fit` takes: arrays, a `tf.data.Dataset`, a `PyDataset`.
            A generator is read from, and cannot be given back what was read.
        y: Targets, where `x` does not bring them.
        min_learning_rate: Rate of the first batch. Above 0.
        max_learning_rate: Rate of the last batch. Above `min_learning_rate`.
        steps: Number of batches. At least 2.
        batch_size: As in `fit`.
        divergence_factor: Training ends when the loss, the median of five batches, is
            so many times its best, and above all losses of the first tenth. Above 1.
        repeats: How often to do so, each time from the same weights over data in another
            order (arrays; a dataset has to shuffle itself). The curve has the mean
            losses, and `spread` says how far the suggestions are apart. At least 1.
        weight_decays: Decays to do so with, one after the other, as Smith does in "A
            Disciplined Approach to Neural Network Hyper-Parameters" (2018): the best has
            the lowest loss and bears the highest rate. The optimizer must have been built
            with one. `None`: that one.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        shuffle: As in `fit`. The loss over unshuffled data shows their order, not the
            rate.
        verbose: 0 for silence, 1 for a progress bar with the rate and the loss.

    Returns:
        `LearningRateCurve`; with `weight_decays` a dict of them, which
        `plot.learning_rate_curve` draws in one picture.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> x, y = np.ones((256, 4)), np.ones((256, 1))
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> curve = find_learning_rate(model, x, y, steps=40, batch_size=8, verbose=0)
    >>> curve.stop_reason
    'diverged'
    """
    owner = "find_learning_rate"
    limits = (min_learning_rate, max_learning_rate, steps, divergence_factor)
    integer(owner, "repeats", repeats, at_least=1)
    decays = [None] if weight_decays is None else list(weight_decays)
    check(decays, owner, "weight_decays", "at least one number, or None", weight_decays)
    sweeps = {
        decay: [Sweep(owner, *limits, decay) for _ in range(repeats)] for decay in decays
    }
    check(getattr(model, "compiled", False), owner, "model", "compiled", model)
    check(shuffle or repeats == 1, owner, "repeats", "1 without shuffle", repeats)
    once = hasattr(x, "__next__")
    several = "data that can be gone through again, for several sweeps"
    check(not once or repeats * len(decays) == 1, owner, "x", several, x)
    data = dict(x=x, y=y, batch_size=batch_size, epochs=1 if once else steps)
    data |= dict(sample_weight=sample_weight, class_weight=class_weight, shuffle=shuffle)
    found: dict[Any, LearningRateCurve] = {}
    chance = _random.state()
    with _kept(model), progress_bar(verbose) as add_bar:
        model.steps_per_execution = 1
        for decay, again in sweeps.items():
            _random.restore(chance)  # The same orders for every decay.
            curves = []
            for turn, sweep in enumerate(again, 1):
                taken = data if repeats == 1 else _reordered(data)
                which = "" if repeats == 1 else f", {turn} of {repeats}"
                what = "learning rates" if decay is None else f"decay {decay:g}"
                sweep.tell = add_bar(what + which, steps)
                curves.append(_run(sweep, model, taken))
            found[decay] = _merged(curves)
    return found[None] if weight_decays is None else found


@contextlib.contextmanager
def _kept(model):
    """Puts back, after a `with` block, what `fit` changes beside the arrays."""
    names = ("train_function", "steps_per_execution", "history", "stop_training")
    kept = {name: getattr(model, name, None) for name in names}
    chance = _random.state()
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(model, name, value)
        _random.restore(chance)


def _reordered(data):
    """Returns as many rows as a sweep takes, in another order, where they are arrays.

    Keras on TensorFlow shuffles each fit alike, once its generators have a seed.
    """
    parts = {name: data[name] for name in ("x", "y", "sample_weight")}
    leaves = [leaf for leaf in keras.tree.flatten(parts) if leaf is not None]
    if not all(hasattr(leaf, "shape") and len(leaf.shape) for leaf in leaves):
        return data
    needed = data["epochs"] * (data["batch_size"] or 32)
    rows = np.random.permutation(leaves[0].shape[0])[:needed]

    def take(leaf):
        return leaf if leaf is None else np.asarray(ops.convert_to_numpy(leaf))[rows]

    return data | keras.tree.map_structure(take, parts)


def _run(sweep, model, data):
    try:
        model.fit(**data, verbose=0, callbacks=[sweep])
    finally:
        sweep.undo()
    if sweep.losses:
        sweep.report(sweep.stop_reason)
    return sweep.curve


@contextlib.contextmanager
def progress_bar(verbose=1):
    """Yields a function that adds a bar and returns what a `Sweep` tells it by."""
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[said]}"),
    )
    with progress.Progress(*columns, disable=not verbose) as bars:

        def add_bar(description, steps):
            bar, told = bars.add_task(description, total=steps, said=""), 0.0

            def tell(count, rate, loss, reason):
                nonlocal told
                now = time.monotonic()
                if reason or now > told + 0.1:  # It is drawn ten times a second.
                    told = now
                    said = f"rate {rate:.2e}, loss {loss:.4g}{reason and f': {reason}'}"
                    bars.update(bar, completed=count, said=said)

            return tell

        yield add_bar


class Sweep(keras.callbacks.Callback):
    """Drives the rate, records the losses, ends the fit, and can undo it all.

    Args:
        owner: Whose arguments the following are, where they are refused.
        min_learning_rate: Rate of the first batch. Above 0.
        max_learning_rate: Rate of the last batch. Above `min_learning_rate`.
        steps: Number of batches. At least 2.
        divergence_factor: As in `find_learning_rate`. Above 1.
        weight_decay: What to train with, or `None` for what the optimizer has.

    Attributes:
        tell: Function to call with the number, the rate, the loss and the reason to stop,
            or "", of each batch.
    """

    def __init__(
        self,
        owner: str,
        min_learning_rate: float,
        max_learning_rate: float,
        steps: int,
        divergence_factor: float,
        weight_decay: float | None = None,
    ):
        super().__init__()
        least = number(owner, "min_learning_rate", min_learning_rate)
        most = number(owner, "max_learning_rate", max_learning_rate)
        check(least > 0, owner, "min_learning_rate", "above 0", least)
        above = f"above min_learning_rate={least:g}"
        check(most > least, owner, "max_learning_rate", above, most)
        self.steps = integer(owner, "steps", steps, at_least=2)
        factor = number(owner, "divergence_factor", divergence_factor)
        check(factor > 1, owner, "divergence_factor", "above 1", factor)
        self.divergence_factor = factor
        self.first, self.growth = math.log(least), math.log(most / least) / (steps - 1)
        self.driven = {"learning_rate": self.rate}
        if weight_decay is not None:
            self.driven["weight_decay"] = number(owner, "weight_decays", weight_decay)
        self.snapshot, self.tell = None, lambda count, rate, loss, reason: None

    def rate(self, step: Tensor) -> Tensor:
        return ops.exp(self.first + self.growth * ops.cast(step, "float32"))

    @property
    def curve(self) -> "LearningRateCurve":
        """What has been found so far."""
        rates = ops.convert_to_numpy(self.rate(np.arange(len(self.losses))))
        losses = np.array(self.losses, "float64")
        return LearningRateCurve(np.array(rates, "float64"), losses, self.stop_reason)

    def on_train_begin(self, logs=None):
        model = self.model
        self.losses, self.stop_reason, self.best = [], "data ran out", math.inf
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        held = model.variables + model.optimizer.variables + model.metrics_variables
        self.snapshot = _fit_loop.Snapshot(held)
        reset(model.optimizer, model.trainable_variables)
        self.own_step = _fit_loop.has_own_train_step(model)
        handle = schedule_hyperparameters(model.optimizer, **self.driven)
        _fit_loop.retrace(model, undo=handle.remove)
        _fit_loop.retrace(model, undo=_fit_loop.report_batch_losses(model))
        _mixing.install(model)

    def on_train_batch_begin(self, batch, logs=None):
        if self.own_step:
            self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        self.losses.append(loss)
        reason = self._reason_to_stop(loss)
        if reason:
            self.stop_reason = reason
            self._model.stop_training = True
        else:
            self.report("")

    def report(self, reason: str) -> None:
        """Tells of the last batch, and why it was the last, or ""."""
        count = len(self.losses)
        rate = math.exp(self.first + self.growth * (count - 1))
        self.tell(count, rate, self.losses[-1], reason)

    def _reason_to_stop(self, loss):
        if not math.isfinite(loss):
            return "not finite"
        if len(self.losses) == self.steps:
            return "finished"
        level = statistics.median(self.losses[-5:])
        self.best = min(self.best, level)
        start = self.losses[: max(5, self.steps // 10)]
        ceiling = self.best + (self.divergence_factor - 1) * abs(self.best)
        return "diverged" if level > max(ceiling, *start) else None

    def undo(self) -> None:
        """Puts everything back. May be called again."""
        if self.snapshot:
            _fit_loop.finish(self.model)
            self.snapshot.restore()
        self.snapshot = None


def _merged(curves):
    """Returns the curve of the mean losses, as far as the shortest goes."""
    if len(curves) == 1:
        return curves[0]
    shortest = min(curves, key=lambda curve: len(curve.losses))
    rates = shortest.learning_rates
    losses = np.mean([curve.losses[: len(rates)] for curve in curves], axis=0)
    return LearningRateCurve(rates, losses, shortest.stop_reason, tuple(curves))


@dataclasses.dataclass(frozen=True, eq=False)
class LearningRateCurve:
    """Loss over learning rate, and what can be read from it.

    Args:
        learning_rates: Rates in the order tried, rising by one factor. float64.
        losses: The loss of the batch trained at each. float64, same shape.
        stop_reason: "finished", "diverged", "not finite" or "data ran out".
        repeats: The curves that `losses` is the mean of, if there are several.
    """

    learning_rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    stop_reason: str
    repeats: "tuple[LearningRateCurve, ...]" = ()

    def suggest(self, method: Method = "steepest") -> float | None:
        """Returns a rate, or `None` where the curve does not carry one.

        All methods see the losses smoothed to both sides, so that they do not lag, up to
        the first that is not finite. The last three are fastai's, and give what fastai
        gives for equal losses; fastai's own lag, as it smooths to one side.

        Args:
            method: "steepest": where the loss falls fastest over the logarithm of the
                rate, left of its minimum. "valley": in the middle of the longest fall.
                "slide": where the slope, seen from the end, first is what it is 15 rates
                earlier. "minimum": a tenth of the rate with the lowest loss.
        """
        one_of(self, "method", method, METHODS)
        if self._reading.reason:
            return None
        return METHODS[method](self.learning_rates, self._reading)

    @property
    def reason(self) -> str | None:
        """Why there is no suggestion; `None` where there is one."""
        return self._reading.reason or _edge(self._reading)

    @property
    def smoothed(self) -> NDArray[np.float64]:
        """The losses as `suggest` sees them, up to the first that is not finite."""
        return self._reading.smoothed

    @functools.cached_property
    def _reading(self):
        return _read(self.losses)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the curve and its suggestion; returns the Axes."""
        from keras_sched import plot

        return plot.learning_rate_curve(self, ax=ax)

    def to_csv(self, path: PathLike) -> None:
        """Writes `learning_rate,loss` lines, with all their digits."""
        lines = [f"# stop_reason: {self.stop_reason}", "learning_rate,loss"]
        pairs = zip(self.learning_rates.tolist(), self.losses.tolist())
        lines += [f"{rate!r},{loss!r}" for rate, loss in pairs]
        _atomic.write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def from_csv(cls, path: PathLike) -> "LearningRateCurve":
        """Returns the curve that `to_csv` wrote."""
        with open(path, encoding="utf-8") as file:
            stop_reason = file.readline().removeprefix("# stop_reason: ").strip()
            rates, losses = np.loadtxt(file, delimiter=",", skiprows=1, ndmin=2).T
        return cls(rates, losses, stop_reason)

    def spread(self, method: Method = "steepest") -> tuple[float, float] | None:
        """Returns the lowest and the highest suggestion among the repeats, or `None`."""
        found = [curve.suggest(method) for curve in self.repeats]
        rates = [rate for rate in found if rate is not None]
        return (min(rates), max(rates)) if rates else None

    def __repr__(self):
        rates = self.learning_rates
        span = f", {rates[0]:.1e} to {rates[-1]:.1e}" if len(rates) else ""
        told = [f"LearningRateCurve: {len(rates)} rates{span}, {self.stop_reason}"]
        if self._reading.reason:
            return f"{told[0]}; no suggestion: {self.reason}"
        for method in METHODS:
            rate, spread = self.suggest(method), self.spread(method)
            apart = f"  ({spread[0]:.2g} to {spread[1]:.2g})" if spread else ""
            found = f"no suggestion: {self.reason}" if rate is None else f"{rate:.2g}"
            told.append(f"  {method:<8}  {found}{apart}")
        return "\n".join(told)


class _Reading(NamedTuple):
    """What is seen in the losses up to the first that is not finite."""

    smoothed: np.ndarray
    steepest: int  # Place of the steepest fall left of the lowest loss.
    reason: str | None  # Why no method can read them.


def _read(losses):
    """Smooths to both sides, so that nothing lags, and as little as the noise allows.

    What shoots up would spill over to the left. So what lies right of the lowest is
    smoothed by itself, once the spikes are cut off.
    """
    finite = np.logical_and.accumulate(np.isfinite(losses))
    if len(losses) and not finite[0]:
        why = "not finite at the start: the model or the data, not the rate"
        return _Reading(losses[:0], 0, why)
    losses = losses[finite]
    if len(losses) < 10:
        few = f"too few points: {len(losses)} finite losses, 10 needed"
        return _Reading(losses, 0, few)
    middle = _running_median(losses)
    lowest, start = int(np.argmin(middle)), np.median(losses[: _few(losses)])
    noise = _noise(losses[: max(lowest + 1, len(losses) // 2)])
    losses = np.minimum(losses, middle + 3 * _noise(losses))
    # As high above the first losses as the lowest is below them is high enough.
    losses = np.minimum(losses, start + max(start - middle.min(), 4 * noise))
    width, reason = _width_to_see_by(losses, start, noise)
    falling = _blur(losses[: lowest + 1], width, start, middle[lowest])
    rest = _blur(losses[lowest:], _width(losses), middle[lowest], losses[-1])[1:]
    if not reason and _periodic_share(losses[: lowest + 1] - falling) > 0.5:
        reason = "periodic: the loss shows the order of the data; shuffle them"
    steepest = int(np.argmin(np.gradient(falling))) if lowest else 0
    return _Reading(np.concatenate([falling, rest]), steepest, reason)


def _width_to_see_by(losses, start, noise):
    """Returns the least width of which the losses clearly fall, and why none does."""
    for wider in (1, 1.5, 2.25, 3.4):
        width = wider * _width(losses)
        smoothed = _blur(losses, width, start, np.median(losses[-_few(losses) :]))
        fall = smoothed[: np.argmin(smoothed) + 1].max() - smoothed.min()
        noise_left = noise / math.sqrt(2 * math.sqrt(math.pi) * width)
        if fall > max(_CLEAR * noise_left, 1e-6 * abs(start)):
            return width, None
    return width, "flat: the loss falls by no more than its noise; repeats lower that"


def _running_median(losses):
    padded = np.pad(losses, 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)


def _noise(losses):
    """Returns the standard deviation of what differs from one loss to the next."""
    return 1.4826 / math.sqrt(2) * np.median(np.abs(np.diff(losses)))


def _blur(losses, width, before, after):
    """Returns the losses under a Gaussian window, with these beyond their ends."""
    reach = int(3 * width)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded = np.pad(losses, reach, constant_values=(before, after))
    return np.convolve(padded, window / window.sum(), mode="valid")


def _few(losses):
    return max(5, len(losses) // 10)


def _width(losses):
    return max(1.0, 0.04 * len(losses))


def _periodic_share(noise):
    """Returns how much of the noise is one wave, at least four times repeated.

    Below 0.4, 9,999 times in 10,000, for 60 losses that have nothing in common.
    """
    power = np.abs(np.fft.rfft(noise - noise.mean())) ** 2
    return power[4:].max(initial=0) / max(power[1:].sum(), 1e-300)


def _edge(reading):
    """Returns why the steepest fall tells nothing; `None` where it does."""
    edge, last = 2 * _width(reading.smoothed), len(reading.smoothed) - 1
    if reading.steepest <= edge:
        return "falling fastest at the first rates: noise, or they are too high"
    if reading.steepest >= last - edge:
        return "falling fastest at the last rates: raise max_learning_rate"
    return None


def _steepest(rates, reading):
    return None if _edge(reading) else float(rates[reading.steepest])


def _valley(rates, reading):
    """Fastai's: the middle third of the longest row of ever lower losses begins there."""
    losses = reading.smoothed
    lengths = np.ones(len(losses), int)
    for place in range(1, len(losses)):
        higher = losses[:place] > losses[place]
        lengths[place] = 1 + max(lengths[:place][higher], default=0)
    end = int(np.argmax(lengths))
    third = int(lengths[end]) / 3
    return float(rates[end - lengths[end] + int(third) + int(third / 2)])


def _slide(rates, reading, apart=15, threshold=0.005):
    """Fastai's: two points slide left from the end until their slopes are alike."""
    slopes = np.gradient(reading.smoothed)
    left = len(slopes) - 1 - apart
    found = rates[max(left, 0)]
    while left >= 0 and abs(slopes[left + apart] - slopes[left]) > threshold:
        found = rates[left]
        left -= 1
    return float(found)


def _minimum(rates, reading):
    return float(rates[np.argmin(reading.smoothed)] / 10)


METHODS = {
    "steepest": _steepest,
    "valley": _valley,
    "slide": _slide,
    "minimum": _minimum,
}

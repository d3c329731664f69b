"""The learning-rate range test of Smith (2015), which leaves no trace."""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from keras_sched import _atomic, _fit_loop, _random
from keras_sched._checks import check, integer, number, one_of
from keras_sched.hyperparameters import reset, schedule_hyperparameters

METHODS = ("steepest",)


def find_learning_rate(
    model,
    x,
    y=None,
    *,
    min_learning_rate=1e-7,
    max_learning_rate=10.0,
    steps=100,
    batch_size=None,
    divergence_factor=4.0,
    sample_weight=None,
    class_weight=None,
    shuffle=True,
):
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
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        shuffle: As in `fit`. The loss over unshuffled data shows their order, not the
            rate.

    Returns:
        `LearningRateCurve`.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> x, y = np.ones((256, 4)), np.ones((256, 1))
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> curve = find_learning_rate(model, x, y, steps=40, batch_size=8)
    >>> curve.stop_reason
    'diverged'
    """
    least, most = _check_range(min_learning_rate, max_learning_rate)
    steps = integer("find_learning_rate", "steps", steps, at_least=2)
    factor = number("find_learning_rate", "divergence_factor", divergence_factor)
    check(factor > 1, "find_learning_rate", "divergence_factor", "above 1", factor)
    compiled = getattr(model, "compiled", False)
    check(compiled, "find_learning_rate", "model", "compiled", model)
    sweep = _Sweep(least, most, steps, factor)
    kept = {name: getattr(model, name, None) for name in _ATTRIBUTES}
    chance = _random.state()
    model.steps_per_execution = 1
    try:
        model.fit(
            x,
            y,
            batch_size=batch_size,
            epochs=1 if hasattr(x, "__next__") else steps,
            sample_weight=sample_weight,
            class_weight=class_weight,
            shuffle=shuffle,
            verbose=0,
            callbacks=[sweep],
        )
    finally:
        sweep.undo()
        for name, value in kept.items():
            setattr(model, name, value)
        _random.restore(chance)
    return sweep.curve()


_ATTRIBUTES = ("train_function", "steps_per_execution", "history", "stop_training")


def _check_range(least, most):
    owner = "find_learning_rate"
    least = number(owner, "min_learning_rate", least)
    most = number(owner, "max_learning_rate", most)
    check(least > 0, owner, "min_learning_rate", "above 0", least)
    above = f"above min_learning_rate={least:g}"
    check(most > least, owner, "max_learning_rate", above, most)
    return least, most


class _Sweep(keras.callbacks.Callback):
    """Drives the rate, records the losses, ends the fit, and can undo it all."""

    def __init__(self, least, most, steps, divergence_factor):
        super().__init__()
        self.first, self.growth = math.log(least), math.log(most / least) / (steps - 1)
        self.steps, self.divergence_factor = steps, divergence_factor
        self.losses, self.stop_reason = [], "data ran out"
        self.best = math.inf
        self.undos = []

    def rate(self, step):
        return ops.exp(self.first + self.growth * ops.cast(step, "float32"))

    def on_train_begin(self, logs=None):
        model = self.model
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self.undos.append(_fit_loop.Snapshot(model).restore)
        reset(model.optimizer, model.trainable_variables)
        self.own_step = _fit_loop.has_own_train_step(model)
        handle = schedule_hyperparameters(model.optimizer, learning_rate=self.rate)
        self.undos += [handle.remove, _fit_loop.report_batch_losses(model)]
        _fit_loop.retrace(model, undo=handle.remove)

    def on_train_batch_begin(self, batch, logs=None):
        if self.own_step:
            self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))
        reason = self._reason_to_stop(self.losses[-1])
        if reason:
            self.stop_reason = reason
            self._model.stop_training = True

    def _reason_to_stop(self, loss):
        if not math.isfinite(loss):
            return "not finite"
        if len(self.losses) == self.steps:
            return "finished"
        level = float(np.median(self.losses[-5:]))
        self.best = min(self.best, level)
        start = self.losses[: max(5, self.steps // 10)]
        ceiling = self.best + (self.divergence_factor - 1) * abs(self.best)
        return "diverged" if level > max(ceiling, *start) else None

    def undo(self):
        for undo in self.undos:
            undo()

    def curve(self):
        rates = ops.convert_to_numpy(self.rate(np.arange(len(self.losses))))
        losses = np.array(self.losses, "float64")
        return LearningRateCurve(np.array(rates, "float64"), losses, self.stop_reason)


@dataclasses.dataclass(frozen=True, eq=False)
class LearningRateCurve:
    """Loss over learning rate, and what can be read from it.

    Args:
        learning_rates: Rates in the order tried, rising by one factor. float64.
        losses: The loss of the batch trained at each. float64, same shape.
        stop_reason: "finished", "diverged", "not finite" or "data ran out".
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    stop_reason: str

    def suggest(self, method="steepest"):
        """Returns a rate, or `None` where the curve does not carry one.

        Args:
            method: "steepest": where the loss, smoothed to both sides so that it does
                not lag, falls fastest over the logarithm of the rate; searched left of
                its minimum.
        """
        one_of(self, "method", method, METHODS)
        index, _ = _steepest(self.losses)
        return None if index is None else float(self.learning_rates[index])

    @property
    def reason(self):
        """Why there is no suggestion; `None` where there is one."""
        return _steepest(self.losses)[1]

    @property
    def smoothed(self):
        """The losses as `suggest` sees them, up to the first that is not finite."""
        return _smooth(_finite(self.losses))

    def plot(self, ax=None):
        """Draws the curve and its suggestion; returns the Axes."""
        from keras_sched import plot

        return plot.learning_rate_curve(self, ax=ax)

    def to_csv(self, path):
        """Writes `learning_rate,loss` lines, with all their digits."""
        lines = [f"# stop_reason: {self.stop_reason}", "learning_rate,loss"]
        pairs = zip(self.learning_rates.tolist(), self.losses.tolist())
        lines += [f"{rate!r},{loss!r}" for rate, loss in pairs]
        _atomic.write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def from_csv(cls, path):
        """Returns the curve that `to_csv` wrote."""
        with open(path, encoding="utf-8") as file:
            stop_reason = file.readline().removeprefix("# stop_reason: ").strip()
            rates, losses = np.loadtxt(file, delimiter=",", skiprows=1, ndmin=2).T
        return cls(rates, losses, stop_reason)

    def __repr__(self):
        rate = self.suggest()
        found = f"suggests {rate:.2g}" if rate else f"no suggestion: {self.reason}"
        rates = self.learning_rates
        span = f"{rates[0]:.1e} to {rates[-1]:.1e}" if len(rates) else "no rate"
        return f"<LearningRateCurve: {span}, {self.stop_reason}, {found}>"


def _finite(losses):
    bad = np.flatnonzero(~np.isfinite(losses))
    return losses[: bad[0]] if bad.size else losses


def _smooth(losses):
    """Returns the losses under a Gaussian window, whose sides are alike: no lag.

    What shoots up at the end would spill over to the left; it is cut at as far above
    the first losses as the lowest is below them.
    """
    if not losses.size:
        return losses
    start = np.median(losses[: max(1, len(losses) // 10)])
    losses = np.minimum(losses, 2 * start - losses.min())
    width = _width(losses)
    reach = int(3 * width)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded = np.pad(losses, reach, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _width(losses):
    return max(1.0, 0.04 * len(losses))


def _steepest(losses):
    """Returns the index of the steepest fall, and why there is none."""
    losses = _finite(losses)
    if len(losses) < 10:
        return None, f"too few points: {len(losses)} finite losses, 10 needed"
    smoothed = _smooth(losses)
    lowest = int(np.argmin(smoothed))
    fall = smoothed[: lowest + 1].max() - smoothed[lowest]
    noise = np.std((losses - smoothed)[: lowest + 1])
    if fall <= max(1.5 * noise, 1e-6 * abs(smoothed[0])):
        return None, "flat: the loss does not fall by more than its noise"
    index = int(np.argmin(np.gradient(smoothed)[: lowest + 1]))
    edge = 2 * _width(losses)
    if index <= edge:
        return None, "falling fastest at the first rates: noise, or they are too high"
    if index >= len(losses) - 1 - edge:
        return None, "falling fastest at the last rates: raise max_learning_rate"
    return index, None

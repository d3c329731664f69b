"""Averaged weights, evaluated and saved, while the raw ones are trained."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sched import _fit_loop, _run_state, _running_fit
from keras_sched._checks import check, integer, number, one_of
from keras_sched._running_statistics import reestimate
from keras_sched._types import Averaging
from keras_sched.hyperparameters import batches_per_update


class WeightAveraging(keras.callbacks.Callback):
    """Averages the weights along the way; trains the raw ones, evaluates the average.

    "ema", an exponential moving average (Polyak and Juditsky 1992), is updated inside the
    compiled step, once for each update of the weights. Its decay warms up, as
    `min(decay, (1 + n) / (10 + n))` at the n-th update, so that the first weights are
    soon forgotten. "swa" is the mean of the weights at the ends of epochs (Stochastic
    Weight Averaging, Izmailov et al. 2018), all counted alike; it costs nothing per step.

    Validation inside `fit` sees the averaged weights; `CheckpointEarlyStopping` monitors
    them, saves them as the model, and keeps the raw ones beside, to go on with to the
    bit. When `fit` ends, in whatever epoch, the model has them too.

    Averaged weights have other means and variances in their layers than those that
    `BatchNormalization` has seen. Without `batch_norm_data` its statistics are averaged
    like the weights, which does for "ema". With it they are estimated anew, by a pass
    over these data before each validation and at the end.

    Args:
        method: "ema" or "swa".
        decay: What is kept of the average at each update of "ema". At least 0, below 1.
        warmup: Whether the decay warms up.
        start_epoch: First epoch, counted from 0, that is averaged. Before it the raw
            weights are evaluated.
        batch_norm_data: Inputs of the model, without labels: an array, or a list, tuple
            or dict of arrays; or what gives batches however often it is gone through, as
            a `tf.data.Dataset`: of pairs `(x, y)` `x` is taken. A few thousand rows of
            the training data do. `None`: no pass.
        batch_size: Rows in a batch of `batch_norm_data`, where that is arrays.

    Raises:
        ValueError: At construction, for an argument out of bounds. When training begins,
            if there are `batch_norm_data` and no `BatchNormalization`.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.ones((32, 4)), np.ones((32, 1))
    >>> seen = []
    >>> keep = keras.callbacks.LambdaCallback(
    ...     on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()[0]))
    >>> averaging = callbacks.WeightAveraging("swa", start_epoch=1)
    >>> history = model.fit(x, y, epochs=4, verbose=0, callbacks=[keep, averaging])
    >>> bool(np.allclose(model.get_weights()[0], np.mean(seen[1:], axis=0)))
    True
    """

    def __init__(
        self,
        method: Averaging = "ema",
        *,
        decay: float = 0.999,
        warmup: bool = True,
        start_epoch: int = 0,
        batch_norm_data: Any = None,
        batch_size: int = 128,
    ):
        super().__init__()
        self.method = one_of(self, "method", method, Averaging)
        self.decay = number(self, "decay", decay)
        check(0 <= decay < 1, self, "decay", "at least 0, below 1", decay)
        self.warmup = warmup
        self.start_epoch = integer(self, "start_epoch", start_epoch)
        must = "to be gone through again and again; an iterator is used up"
        once = hasattr(batch_norm_data, "__next__")
        name = type(batch_norm_data).__name__
        check(not once, self, "batch_norm_data", must, name)
        self.batch_norm_data = batch_norm_data
        self.batch_size = integer(self, "batch_size", batch_size, at_least=1)
        self._forget()

    def on_train_begin(self, logs=None):
        if self._resumed is not self.model.history:
            if self._raw_of is self.model:  # Its validation was broken off.
                self._swap_out()
            self._forget()
        self._in_fit = True
        without = self.batch_norm_data is None
        layers = without or _fit_loop.batch_normalizations(self.model)
        must = "None for a model without BatchNormalization"
        check(layers, self, "batch_norm_data", must, type(self.batch_norm_data).__name__)

    def on_epoch_begin(self, epoch, logs=None):
        self._open, self._closed = not self._closed, False
        if epoch < self.start_epoch:
            return
        if not self._held:
            self._hold(self._beginning())
        if self.method == "ema" and not self._driven:
            self._driven = True
            self._each = batches_per_update(self.model.optimizer)
            _fit_loop.retrace(self.model, lambda: None, carried=[self._held])

    def on_test_begin(self, logs=None):
        if self._in_fit:
            self.close_epoch()
            self._swap_in()

    def on_test_end(self, logs=None):
        if self._in_fit:
            self._swap_out()

    def on_epoch_end(self, epoch, logs=None):
        self.close_epoch()

    def on_train_end(self, logs=None):
        self.finish()

    def close_epoch(self) -> None:
        """Takes the weights as they stand into the mean, once an epoch."""
        if self._open and self._held and self.method == "swa":
            self._held.values = self._with_one_more(self._held.values)
        self._open = False

    def finish(self) -> None:
        """Leaves the averaged weights in the model, for good."""
        if self._in_fit:
            self.close_epoch()
            self._swap_in()
            _fit_loop.finish(self.model)
            self._forget()

    @contextlib.contextmanager
    def averaged(self) -> Iterator[dict[str, np.ndarray]]:
        """Has the averaged weights in the model for a `with` block.

        Yields:
            What is needed, beside a model saved in the block, to go on: arrays by name.
        """
        inside = self._raw is not None
        self._swap_in()
        try:
            yield self._state()
        finally:
            if not inside:
                self._swap_out()

    def resume(self, arrays: Mapping[str, np.ndarray], closed: bool = False) -> None:
        """Goes on, in a model loaded from such a file, with the arrays beside it.

        Args:
            arrays: The arrays by name.
            closed: Whether the epoch that goes on is in the mean already.
        """
        self._closed = closed
        if "count" not in arrays:
            if self._held:
                self._hold(self._beginning())
            return
        averages = self._weights_now()
        for place, weight in enumerate(_run_state.floats(self.model.weights)):
            if f"average/{place}" in arrays:
                average = ops.convert_to_tensor(arrays[f"average/{place}"], "float32")
                averages[place] = average
            weight.assign(arrays[f"raw/{place}"])
        self._hold([ops.convert_to_tensor(arrays["count"], "int32"), *averages])
        self._resumed = self.model.history

    def _beginning(self):
        return [ops.zeros((), "int32"), *self._weights_now()]

    def _weights_now(self):
        """Returns copies of what is averaged, as it stands in the model."""
        weights = map(ops.stop_gradient, _run_state.floats(self.model.weights))
        return [ops.copy(ops.cast(weight, "float32")) for weight in weights]

    def _forget(self):
        self._held = self._raw = self._raw_of = self._fresh = self._resumed = None
        self._open = self._closed = self._driven = self._in_fit = False

    def _hold(self, values):
        carried = _fit_loop.Carried(values, self._update)
        if self._held:  # The compiled step knows that one.
            self._held.values = carried.values
        else:
            self._held = carried

    def _update(self, values, weights):
        """Returns count and averages after a step that has led to these weights."""
        count, *averages = values
        count = count + 1
        due = ops.equal(count % self._each, 0)
        number = ops.cast(count // self._each, "float32")
        decay = ops.full((), self.decay)
        if self.warmup:
            decay = ops.minimum(decay, (1 + number) / (10 + number))
        pairs = zip(averages, _run_state.floats(weights))
        new = [a + (1 - decay) * (ops.cast(w, "float32") - a) for a, w in pairs]
        return [count, *(ops.where(due, n, a) for n, a in zip(new, averages))]

    def _with_one_more(self, values):
        """Returns count and means with the weights as they stand among them."""
        count, *means = values
        count, weights = count + 1, self._weights_now()
        if int(ops.convert_to_numpy(count)) == 1:
            return [count, *weights]
        share = 1 / ops.cast(count, "float32")
        return [count, *(m + share * (w - m) for m, w in zip(means, weights))]

    def _swap_in(self):
        """Puts the averages into the model and keeps the raw weights."""
        if self._held is None or self._raw is not None or not self._counts():
            return
        weights = _run_state.floats(self.model.weights)
        self._raw = [ops.copy(ops.stop_gradient(weight)) for weight in weights]
        self._raw_of = self.model
        for weight, average in zip(weights, self._held.values[1:]):
            weight.assign(ops.copy(ops.cast(average, weight.dtype)))  # JAX uses it up.
        if self.batch_norm_data is not None:
            self._reestimate()

    def _swap_out(self):
        if self._raw is not None:
            for weight, raw in zip(_run_state.floats(self.model.weights), self._raw):
                weight.assign(raw)
            self._raw = self._raw_of = None

    def _counts(self):
        """Returns of how many weights the average is, so far."""
        return int(ops.convert_to_numpy(self._held.values[0]))

    def _reestimate(self):
        """Has the statistics of these averages in the model, estimated once."""
        count = self._counts()
        if self._fresh is None or self._fresh[0] != count:
            data, size = self.batch_norm_data, self.batch_size
            self._fresh = count, reestimate(self.model, data, size)
        for variable, value in self._fresh[1]:
            variable.assign(value)

    def _state(self):
        if self._raw is None:
            return {}
        weights = _run_state.floats(self.model.weights)
        count, *averages = map(ops.convert_to_numpy, self._held.values)
        arrays = {"count": count}
        for place, (raw, average) in enumerate(zip(self._raw, averages)):
            arrays[f"raw/{place}"] = ops.convert_to_numpy(raw)
            if not np.array_equal(ops.convert_to_numpy(weights[place]), average):
                arrays[f"average/{place}"] = average
        return arrays


def averaging_beside(callback):
    """Returns the `WeightAveraging` of the `fit` that calls a callback.

    Without one, returns one that averages nothing, and is false. Refuses two.
    """
    fellows = _running_fit.fellows()
    found = [one for one in fellows if isinstance(one, WeightAveraging)]
    must = "at most one in a fit"
    check(len(found) < 2, callback, "WeightAveraging", must, len(found))
    return found[0] if found else _NoAveraging()


class _NoAveraging:
    """Stands for a `WeightAveraging` where there is none."""

    def __bool__(self):
        return False

    def averaged(self):
        return contextlib.nullcontext({})

    def resume(self, arrays, closed=False):
        pass

    def close_epoch(self):
        pass

    def finish(self):
        pass

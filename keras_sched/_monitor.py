"""One owner of "is it better?"."""

import contextlib
import math

import keras

from keras_sched import _fit_loop, _running_fit
from keras_sched._checks import check, number, one_of

_BETTER_LOW = ("loss", "error", "mse", "mae", "mape", "msle", "perplexity")
_BETTER_HIGH = ("acc", "auc", "precision", "recall", "f1", "iou", "r2")


class Monitor:
    """A name in the logs, and which of its values are better.

    Args:
        owner: Callback that monitors; its arguments are what refusals name.
        name: Name in the logs.
        mode: "min", "max", or "auto" to tell from the name.
        min_delta: Smallest change that counts as better. Not negative.

    Attributes:
        sign: 1 where lower is better, -1 where higher is.
    """

    def __init__(self, owner, name, mode, min_delta):
        self.owner, self.name = owner, name
        self.sign = self._sign(one_of(owner, "mode", mode, ("auto", "min", "max")))
        self.min_delta = number(owner, "min_delta", min_delta)
        check(min_delta >= 0, owner, "min_delta", "at least 0", min_delta)

    def begin(self, model):
        """Refuses a name that the logs of this `fit` will not have, if that is known."""
        names = _names(model)
        if names:
            must = f"a metric of this model ({', '.join(sorted(names))}), or val_ and one"
            fits = self.name.removeprefix("val_") in names
            check(fits, self.owner, "monitor", must, self.name)
        self.validates = _running_fit.validates()
        if self.name.startswith("val_"):
            must = "a name without val_, as fit has no validation data"
            check(self.validates is not False, self.owner, "monitor", must, self.name)

    def value(self, logs):
        """Returns the value in the logs as a float, or refuses logs without it.

        `None` where they lack it as `validation_freq` has passed over this epoch.
        """
        if self.validates and self.name.startswith("val_") and "val_loss" not in logs:
            return None
        must = f"in the logs ({', '.join(logs)})"
        check(self.name in logs, self.owner, "monitor", must, self.name)
        return float(logs[self.name])

    def is_better(self, value, best):
        """Returns whether `value` is better than `best`, `None` for none so far."""
        if not math.isfinite(value):
            return False
        return best is None or self.sign * (best - value) > self.min_delta

    def _sign(self, mode):
        low = any(word in self.name.lower() for word in _BETTER_LOW)
        high = any(word in self.name.lower() for word in _BETTER_HIGH)
        told = f"'min' or 'max', as monitor={self.name!r} does not tell which is better"
        check(mode != "auto" or low != high, self.owner, "mode", told, mode)
        return 1 if mode == "min" or (mode == "auto" and low) else -1


def _names(model):
    """Returns the names in the logs of training; none where only an epoch can tell."""
    own = _fit_loop.has_own_train_step(model)
    own |= type(model).test_step is not keras.Model.test_step
    roots = {type(one).__module__.split(".")[0] for one in _running_fit.fellows()}
    if own or roots - {"keras", "keras_sched"}:  # They may put anything into the logs.
        return set()
    with contextlib.suppress(Exception):  # What trains need not be built beforehand.
        _running_fit.build_metrics(model)
        return {"loss", *model.get_metrics_result()}
    return set()

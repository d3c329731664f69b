"""The `fit` that is running, as far as only its frame on the stack can tell."""

import inspect
import itertools
import sys

import keras

from keras_sched._checks import check


def frame(start=None):
    """Returns the frame of the innermost `fit` that calls, or `None` without one."""
    plain = super(keras.Model, keras.Model).fit  # In `Model` others put theirs.
    fit, found = inspect.unwrap(plain).__code__, start or sys._getframe(1)
    while found and found.f_code is not fit:
        found = found.f_back
    return found


def validates():
    """Returns whether the `fit` that calls has validation data; `None` without one."""
    found = frame()
    return found and found.f_locals["validation_data"] is not None


def fellows():
    """Returns the callbacks of the `fit` that calls, those of Keras too."""
    return _callbacks(frame())


def has(callback, start):
    """Returns whether a `fit` with this callback is among the callers of a frame."""
    found = frame(start)
    while found and callback not in _callbacks(found):
        found = frame(found.f_back) if found.f_back else None
    return found is not None


def runs_anywhere(callback):
    """Returns whether a `fit` with this callback is running, in whatever thread."""
    return any(has(callback, start) for start in sys._current_frames().values())


def epochs_with(name, epoch):
    """Returns which epochs before `epoch` have a value of that name in their logs."""
    if not name.startswith("val_"):
        return list(range(epoch))
    how = frame().f_locals["validation_freq"]
    if isinstance(how, int):
        return list(range(how - 1, epoch, how))
    return [at for at in range(epoch) if at + 1 in how]


def epoch_logs():
    """Returns the logs of training, as floats, of the epoch that is being validated."""
    logs = frame().f_locals["epoch_logs"]
    return {n: keras.ops.convert_to_numpy(value).tolist() for n, value in logs.items()}


class _Start(int):
    """An epoch to start at that is none to any other `fit` than its own."""

    def __new__(cls, epoch, model):
        start = super().__new__(cls, epoch)
        start.model, start.fit = model, model.history
        return start

    def __bool__(self):
        return int(self) != 0 and self.model.history is self.fit


def start_at_epoch(model, epoch):
    """Makes the `fit` that is beginning start at `epoch`; `None`: where it was told."""
    model._initial_epoch = None if epoch is None else _Start(epoch, model)


def start_at_step(first, skips, empty=False):
    """Makes the first epoch of the `fit` that is beginning start at step `first`.

    Args:
        first: Number of the step in its epoch.
        skips: Whether the data begin with the epoch, so that some must be passed over.
        empty: Whether all steps of the epoch are done. There must be one all the same,
            the last, for `pass_over_next_step`; it is given no data.
    """
    iterator = frame().f_locals["epoch_iterator"]
    plain = iterator._enumerate_iterator

    def the_rest():
        del iterator._enumerate_iterator
        for begin, end, batches in plain():
            if skips and (empty or end < first):
                there = [next(batches, None) is not None for _ in range(begin, end + 1)]
                must = f"data with more than {begin} steps an epoch, as they had"
                check(all(there) or empty, "fit", "x", must, type(batches).__name__)
            if end >= first:
                yield begin, end, itertools.repeat(None) if empty else batches
                if empty and iterator.num_batches is None:
                    iterator.data_adapter.on_epoch_end()
                    return

    iterator._enumerate_iterator, iterator.steps_before = the_rest, first + empty


def steps_before():
    """Returns how many steps of its first epoch were done before the `fit` that calls."""
    found = frame()
    return getattr(found.f_locals["epoch_iterator"], "steps_before", 0) if found else 0


def build_metrics(model):
    """Makes the metrics' variables where Keras would not before the first step."""
    if keras.backend.backend() == "tensorflow":
        data = frame().f_locals["epoch_iterator"]._distributed_dataset
        model._symbolic_build(data_batch=data.element_spec)


def pass_over_next_step(model, logs):
    """Has the next step of training do nothing, and return these logs."""
    plain = model.train_function

    def nothing(*args):
        model.train_function = plain
        return (logs, args[0]) if keras.backend.backend() == "jax" else logs

    model.train_function = nothing


def _callbacks(found):
    listed = found and found.f_locals.get("callbacks")
    return list(getattr(listed, "callbacks", ()))

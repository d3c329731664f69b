"""Labels that follow their images, where layers mix those inside a training step."""

import contextlib
import contextvars

import keras

from keras_sched import _fit_loop
from keras_sched import _ops as ops
from keras_sched._checks import check

_current = contextvars.ContextVar("mixture", default=None)


class Mixture:
    """Of which images of the batch each image now consists.

    Attributes:
        shares: List of `(batch,)` tensors that sum to 1: how much of an image is itself,
            how much the one before it in the batch, how much the one before that.
        in_boxes: Whether that is said of an image as a whole, not of each pixel.
        used: Whether a loss has asked for them.
    """

    def __init__(self):
        self.shares, self.in_boxes, self.used = [], False, False

    def mix(self, kept, in_boxes=False):
        """Has each image keep that part of itself and take the rest of the one before."""
        self.in_boxes = self.in_boxes or in_boxes
        old = self.shares or [ops.ones_like(kept)]
        stay = [*(kept * share for share in old), 0]
        come = [0, *((1 - kept) * before(share) for share in old)]
        self.shares = [a + b for a, b in zip(stay, come)]


def current():
    """Returns the `Mixture` of the step that is being traced; `None` outside of one."""
    return _current.get()


def before(tensor, places=1):
    """Returns for each row of the batch the one so many places before it, in a ring."""
    return ops.roll(tensor, places, axis=0) if places else tensor


def like(vector, tensor):
    """Returns a vector over the batch with as many axes as the tensor."""
    return ops.reshape(vector, (ops.shape(tensor)[0], *[1] * (len(tensor.shape) - 1)))


def weighted(shares, sample_weight):
    """Returns the shares of labels that have weights of their own, and the sum of those.

    The loss of a label has the weight of its image wherever the label goes.
    """
    if sample_weight is None:
        return shares, None
    own = ops.cast(sample_weight, "float32")
    parts = [like(share, own) * before(own, k) for k, share in enumerate(shares)]
    total = sum(parts)
    return [ops.divide_no_nan(part, total) for part in parts], total


def mixed(shares, labels):
    """Returns the mean of what each image's parts have for labels, as float32."""
    labels = ops.cast(labels, "float32")
    return sum(like(s, labels) * before(labels, k) for k, s in enumerate(shares))


def install(model):
    """Has the losses of the `fit` that is running follow what its layers mix.

    Call it before the first step. It is taken out as `_fit_loop.retrace` says.
    """
    undo = _fit_loop.wrap_losses(model, _Following)
    _fit_loop.retrace(model, undo, around=_step)


@contextlib.contextmanager
def _step():
    token = _current.set(Mixture())
    try:
        yield
        mixture = _current.get()
        must = "a loss of compile, or a train_step that calls compute_loss"
        fine = mixture.used or not mixture.shares
        check(fine, "LabelMixing", "loss", must, "none that was asked for")
    finally:
        _current.reset(token)


class _Following:
    """A loss whose labels follow the images in training; elsewhere what it was."""

    def __init__(self, loss):
        self.loss = loss

    def __call__(self, y_true, y_pred, sample_weight=None):
        mixture = current()
        if not (mixture and mixture.shares):
            return self.loss(y_true, y_pred, sample_weight)
        mixture.used = True
        per_image = not mixture.in_boxes or len(y_pred.shape) < 3
        must = "one for each image where boxes are mixed; masks go through augment"
        check(per_image, "LabelMixing", "labels", must, tuple(y_pred.shape))
        shares, weight = weighted(mixture.shares, sample_weight)
        return _MixedLoss(self.loss, shares)(y_true, y_pred, weight)


class _MixedLoss(keras.losses.Loss):
    """The mean loss of several labels for each prediction.

    Class numbers have no mean, so that their losses are averaged; for losses linear in
    the label that is the loss of the mixed one-hot label. Other labels are averaged.
    """

    def __init__(self, loss, shares):
        super().__init__(loss.name, loss.reduction, loss.dtype)
        self.loss, self.shares = loss, shares

    def call(self, y_true, y_pred):
        if not _are_class_numbers(y_true, y_pred):
            labels = ops.cast(mixed(self.shares, y_true), self.dtype)
            return self.loss.call(labels, y_pred)
        total = 0
        for places, share in enumerate(self.shares):
            losses = self.loss.call(before(y_true, places), y_pred)
            must = "one that returns a number for each image, not their mean"
            check(len(losses.shape), "LabelMixing", "loss", must, self.loss.name)
            total += ops.cast(like(share, losses), losses.dtype) * losses
        return total


def _are_class_numbers(y_true, y_pred):
    classes = y_pred.shape[-1]
    shorter = len(y_true.shape) < len(y_pred.shape)
    return classes > 1 and (shorter or y_true.shape[-1] == 1)

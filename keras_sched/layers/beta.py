"""Beta(alpha, alpha) from two uniform numbers, without rejection."""

import math

from keras_sched import _ops as ops


def beta(alpha, chances):
    """Returns draws from Beta(alpha, alpha); for an alpha of 0, of 1 only.

    The polar form of Student's t (Bailey 1994; Devroye 1996), from which the symmetric
    Beta follows. No loop and no gamma function, which XLA has not on TensorFlow.

    Args:
        alpha: Number or tensor of at least 0, to be broadcast.
        chances: float32 `(batch, 2)`, at least 0 and below 1.
    """
    mixes = ops.convert_to_tensor(alpha, "float32") > 0
    power = 1 / ops.where(mixes, alpha, 1.0)
    length = ops.power(1 - chances[:, 0], power)  # Above 0: a logarithm is taken of it.
    cosine = ops.cos(2 * math.pi * chances[:, 1])
    other = (1 - length) * ops.square(cosine)
    share = length / ops.maximum(length + other, 1e-37)
    low = share / (2 * (1 + ops.sqrt(ops.maximum(1 - share, 0.0))))
    return ops.where(mixes, ops.where(cosine < 0, low, 1 - low), 1.0)

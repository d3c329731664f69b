"""Chance as a function of integers: the same ones, the same numbers."""

import math

import keras
import numpy as np
from keras import ops


def normal(shape, seeds, step):
    """Draws standard normal numbers.

    What Keras draws on TensorFlow depends on whether XLA compiles it, which then takes
    far longer; here the bits are Philox's either way.

    Args:
        shape: Tuple of Python integers.
        seeds: Tuple of Python integers of at least 0.
        step: One more, as an integer or an integer tensor; on torch, an integer.

    Returns:
        float32 tensor, a function of `seeds` and `step` on each backend.
    """
    return _NORMAL[keras.backend.backend()](shape, seeds, step)


def _tensorflow(shape, seeds, step):
    import tensorflow as tf

    key = [tf.constant(_word(*seeds) >> 1, "int32"), tf.cast(step, "int32")]
    half = (math.prod(shape) + 1) // 2
    full = dict(minval=None, maxval=None, dtype="uint32", alg="philox")
    bits = tf.random.stateless_uniform((2, half), tf.stack(key), **full)
    first, second = tf.unstack((tf.cast(bits, "float32") + 0.5) * 2.0**-32)
    radius = tf.sqrt(-2.0 * tf.math.log(first))  # Box and Muller (1958).
    angle = 2 * math.pi * second
    pairs = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], 0)
    return tf.reshape(pairs[: math.prod(shape)], shape)


def _jax(shape, seeds, step):
    import jax

    key = ops.stack([np.uint32(_word(*seeds)), ops.cast(step, "uint32")])
    return jax.random.normal(key, shape, "float32")


def _torch(shape, seeds, step):
    import torch

    device = ops.zeros(()).device
    generator = torch.Generator(device).manual_seed(_word(*seeds, step))
    return torch.randn(shape, generator=generator, device=device)


_NORMAL = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def _word(*integers):
    """Returns 32 bits that depend on all of the integers."""
    return int(np.random.SeedSequence(integers).generate_state(1)[0])

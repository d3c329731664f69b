"""Chance as a function of integers: the same ones, the same numbers.

What Keras draws on TensorFlow depends on whether XLA compiles it, which then takes far
longer; here the bits are Philox's either way. Shapes are tuples; on TensorFlow a side may
be a tensor.
"""

import math

import numpy as np

from keras_sched import _ops as ops

_ODD = 0x9E3779B1  # Times this, no two small numbers are near each other in 32 bits.


def word(*integers):
    """Returns 32 bits that depend on all of the integers, each at least 0."""
    return int(np.random.SeedSequence(integers).generate_state(1)[0])


def key(seeds, step):
    """Returns what to draw by.

    Args:
        seeds: Tuple of Python integers of at least 0.
        step: One more, as an integer or an integer tensor; on torch, an integer.
    """
    if ops.backend() == "torch":
        return word(*seeds), step
    dtype = "uint32" if ops.backend() == "jax" else "int64"
    return ops.stack([ops.cast(each, dtype) for each in (word(*seeds), step)])


def of_state(state):
    """Returns the key in two integers that a `keras.random.SeedGenerator` has drawn."""
    return tuple(state.tolist()) if ops.backend() == "torch" else state


def another(key, number):
    """Returns a key for each Python integer of at least 0."""
    if ops.backend() == "torch":
        return key[0] + number * _ODD, key[1]
    return key + ops.cast(np.array([number * _ODD % 2**32, 0], "uint32"), key.dtype)


def apart(key, number):
    """Returns a key for each integer or tensor of at least 0; on TensorFlow only."""
    number = ops.cast(number, "int64")
    return key + ops.stack([ops.zeros_like(number), number * 2**32])


def uniform(shape, key):
    """Draws float32 numbers, at least 0 and below 1."""
    return _draw("uniform", shape, key)


def byte(shape, key):
    """Draws integers from 0 to 255, as float32."""
    return _draw("byte", shape, key)


def normal(shape, key):
    """Draws standard normal numbers, as float32."""
    return _draw("normal", shape, key)


def _draw(kind, shape, key):
    return _DRAWS[kind, ops.backend()](shape, key)


def _philox(shape, key):
    import tensorflow as tf

    counter = tf.bitcast(key * [0, 1], "uint64")  # What counts the draws is its first.
    key = tf.bitcast(key[:1], "uint64")
    drawn = dict(shape=shape, key=key, counter=counter, alg=1, dtype="uint32")
    return tf.raw_ops.StatelessRandomUniformFullIntV2(**drawn)


def _tensorflow_uniform(shape, key):
    import tensorflow as tf

    bits = tf.bitwise.right_shift(_philox(shape, key), tf.constant(8, "uint32"))
    return tf.cast(bits, "float32") * 2.0**-24


def _tensorflow_byte(shape, key):
    import tensorflow as tf

    words = _philox(((math.prod(shape) + 3) // 4,), key)
    some = tf.reshape(tf.bitcast(words, "uint8"), (-1,))[: math.prod(shape)]
    return tf.cast(tf.reshape(some, shape), "float32")


def _tensorflow_normal(shape, key):
    import tensorflow as tf

    bits = _philox((2, (math.prod(shape) + 1) // 2), key)
    first, second = tf.unstack((tf.cast(bits, "float32") + 0.5) * 2.0**-32)
    radius = tf.sqrt(-2.0 * tf.math.log(first))  # Box and Muller (1958).
    angles = 2 * math.pi * tf.stack([second, second - 0.25])  # Cosine and sine.
    pairs = tf.reshape(radius * tf.cos(angles), (-1,))
    return tf.reshape(pairs[: math.prod(shape)], shape)


def _jax_uniform(shape, key):
    import jax

    return jax.random.uniform(_threefry(key), shape, "float32")


def _jax_byte(shape, key):
    import jax

    words = jax.random.bits(_threefry(key), ((math.prod(shape) + 3) // 4,), "uint32")
    some = jax.lax.bitcast_convert_type(words, "uint8").reshape(-1)[: math.prod(shape)]
    return some.reshape(shape).astype("float32")


def _jax_normal(shape, key):
    import jax

    return jax.random.normal(_threefry(key), shape, "float32")


def _threefry(key):
    import jax

    return jax.random.wrap_key_data(key, impl="threefry2x32")


def _torch_uniform(shape, key):
    import torch

    return torch.rand(shape, **_generator(key))


def _torch_byte(shape, key):
    import torch

    drawn = torch.randint(0, 256, shape, dtype=torch.uint8, **_generator(key))
    return drawn.to(torch.float32)


def _torch_normal(shape, key):
    import torch

    return torch.randn(shape, **_generator(key))


def _generator(key):
    import torch

    device = ops.zeros(()).device
    seed = word(*(int(each) % 2**64 for each in key))
    return dict(generator=torch.Generator(device).manual_seed(seed), device=device)


_DRAWS = {
    ("uniform", "tensorflow"): _tensorflow_uniform,
    ("uniform", "jax"): _jax_uniform,
    ("uniform", "torch"): _torch_uniform,
    ("byte", "tensorflow"): _tensorflow_byte,
    ("byte", "jax"): _jax_byte,
    ("byte", "torch"): _torch_byte,
    ("normal", "tensorflow"): _tensorflow_normal,
    ("normal", "jax"): _jax_normal,
    ("normal", "torch"): _torch_normal,
}

"""Whole powers, exact where float32 arithmetic would drift."""

import functools

import numpy as np
from keras import ops

_BITS = 11


def power(base, exponent):
    """Returns `base ** exponent` to a few ulp, however large the exponent.

    float32 has `0.9999 ** 10000` wrong by parts in a thousand, since the base itself is
    rounded first. Here the exponent is cut into digits, and what each digit
    contributes is looked up in a table worked out in float64.

    Args:
        base: Python float above 0.
        exponent: int32 tensor of at least 0.
    """
    product = 1.0
    for place in range(0, 31, _BITS):
        digit = ops.bitwise_and(ops.right_shift(exponent, place), 2**_BITS - 1)
        table = ops.convert_to_tensor(_table(base, place))
        product = product * ops.take(table, digit)
    return product


@functools.lru_cache(maxsize=64)
def _table(base, place):
    with np.errstate(over="ignore", under="ignore"):
        exponents = np.arange(2**_BITS, dtype="float64") * 2.0**place
        return np.power(np.float64(base), exponents).astype("float32")

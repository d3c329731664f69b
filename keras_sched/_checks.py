"""The one sentence every refusal is worded in."""

import math
import numbers
import typing


def check(ok, owner, name, must, got):
    """Raises `ValueError` unless `ok`. `owner` is an object, or a function's name."""
    if not ok:
        owner = owner if isinstance(owner, str) else type(owner).__name__
        raise ValueError(f"`{name}` of {owner} must be {must}. Received: {name}={got!r}")


def number(owner, name, value):
    """Returns `value` as a float, or refuses what is not a finite number."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    check(real and math.isfinite(value), owner, name, "a finite number", value)
    return float(value)


def integer(owner, name, value, at_least=0, below=2**31):
    """Returns `value` as an int, or refuses what is not an integer within bounds."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    must = f"an integer of at least {at_least}"
    check(whole and at_least <= value, owner, name, must, value)
    must = f"an integer below 2**{below.bit_length() - 1}"
    check(value < below, owner, name, must, value)
    return int(value)


def one_of(owner, name, value, allowed):
    """Returns `value`, or refuses what is not one of `allowed`, choices or a Literal."""
    allowed = typing.get_args(allowed) or allowed
    must = "one of " + ", ".join(repr(choice) for choice in allowed)
    check(value in allowed, owner, name, must, value)
    return value


def each(read, value):
    """Returns what `read` makes of a value, or a tuple of that, of each of several."""
    return tuple(map(read, value)) if isinstance(value, (tuple, list)) else read(value)


def at_least(owner, bound, *names):
    """Refuses attributes of `owner` below `bound`."""
    for name in names:
        value = getattr(owner, name)
        check(value >= bound, owner, name, f"at least {bound:g}", value)


def share(owner, *names):
    """Refuses attributes of `owner` that are not above 0 and at most 1."""
    for name in names:
        value = getattr(owner, name)
        check(0 < value <= 1, owner, name, "above 0 and at most 1", value)


def above(owner, bound, *names):
    """Refuses attributes of `owner` that are not above `bound`."""
    for name in names:
        value = getattr(owner, name)
        check(value > bound, owner, name, f"above {bound:g}", value)

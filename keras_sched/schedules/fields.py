"""What the fields of a schedule may hold, and how each is checked."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from keras.optimizers.schedules import LearningRateSchedule as StockSchedule

from keras_sched import _types
from keras_sched._checks import check, integer, number

LAST_STEP = 2**31 - 1  # Steps are int32 on every backend.

# What a field is called in a class says how it is checked here, and in lengths.py how
# it grows when the schedule is written in epochs.
Steps = Annotated[int, "a number of steps"]
PerStep = Annotated[float, "what each step adds"]
FactorPerStep = Annotated[float, "what each step multiplies by"]
if TYPE_CHECKING:  # What may be given: lists, too, which become tuples.
    Rate = _types.Rate
    RateInOwnSteps = _types.Rate
    Rates = Sequence[_types.Rate]
    OrderedSteps = Sequence[int]
    Points = Sequence[tuple[int, float] | list[float]]
else:
    Rate = Annotated[Any, "a number or a schedule"]
    RateInOwnSteps = Annotated[Any, "a number or a schedule with steps of its own"]
    Rates = tuple[Rate, ...]
    OrderedSteps = tuple[Steps, ...]
    Points = tuple[tuple[Steps, float], ...]


@functools.lru_cache(maxsize=256)
def kinds(schedule):
    """Returns what each field of a class of schedules is annotated with, by its name."""
    hints = get_type_hints(schedule, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(schedule)}


def rate(owner, name, value):
    """Returns `value`: a schedule, or a number, which is a constant schedule."""
    if isinstance(value, StockSchedule):
        return value
    try:
        return number(owner, name, value)
    except ValueError:
        check(False, owner, name, "a finite number or a schedule", value)


def rates(owner, name, value):
    """Returns a sequence of schedules and numbers as a tuple."""
    return tuple(rate(owner, name, item) for item in _sequence(owner, name, value))


def ordered_steps(owner, name, value):
    """Returns growing steps of at least 1 as a tuple."""
    steps = _sequence(owner, name, value)
    steps = tuple(integer(owner, name, step, at_least=1) for step in steps)
    grows = all(step < later for step, later in zip(steps, steps[1:]))
    check(grows, owner, name, "steps in growing order, all different", steps)
    return steps


def points(owner, name, value):
    """Returns `(step, value)` pairs in order of step, at least one, as a tuple."""
    pairs = tuple(_pair(owner, name, item) for item in _sequence(owner, name, value))
    grows = all(pair[0] < later[0] for pair, later in zip(pairs, pairs[1:]))
    check(pairs and grows, owner, name, "at least one pair, in order of step", pairs)
    return pairs


def _pair(owner, name, value):
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    check(pair, owner, name, "(step, value) pairs", value)
    return integer(owner, name, value[0]), number(owner, name, value[1])


def _sequence(owner, name, value):
    check(isinstance(value, (tuple, list)), owner, name, "a list or a tuple", value)
    return value


def _some_steps_or_none(owner, name, value):
    return None if value is None else integer(owner, name, value, at_least=1)


CHECKS = {
    float: number,
    int: integer,
    FactorPerStep: number,
    OrderedSteps: ordered_steps,
    PerStep: number,
    Points: points,
    Rate: rate,
    RateInOwnSteps: rate,
    Rates: rates,
    Steps: integer,
    Steps | None: _some_steps_or_none,
}

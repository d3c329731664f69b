"""Schedules written in epochs, and how far there is something of one to see."""

import dataclasses
from typing import TypeVar

import numpy as np

from keras_sched._checks import check, number
from keras_sched._types import Rate
from keras_sched.schedules import fields
from keras_sched.schedules.base import Schedule
from keras_sched.schedules.evaluation import values
from keras_sched.schedules.fields import StockSchedule

_STOCK_LENGTHS = ("boundaries", "decay_steps", "first_decay_steps", "warmup_steps")

_Kind = TypeVar("_Kind", bound=Rate)


def in_epochs(schedule: _Kind, steps_per_epoch: float) -> _Kind:
    """Turns a schedule written in epochs into the same one in steps.

    Every length in it, and in the schedules inside it, is taken for a number of epochs,
    and what it says of each step, for each epoch. The curve is smooth all the same; to
    step once an epoch, use `Slowed`.

    Args:
        schedule: A number, one of these schedules, or one of Keras's own.
        steps_per_epoch: Batches in an epoch, above 0. Lengths are rounded to whole steps
            (0 stays 0, others are at least 1), so half of it makes a schedule written in
            half epochs. These are batches with gradient accumulation too, as that is
            what Keras's optimizers count.

    Returns:
        A schedule of the same kind.

    Raises:
        ValueError: For a schedule of another make, whose lengths are not known.

    >>> in_epochs(Warmup(CosineAnnealing(0.1, total_steps=85), warmup_steps=5), 391)
    Warmup(schedule=CosineAnnealing(max_learning_rate=0.1, total_steps=33235),
    warmup_steps=1955)
    """
    factor = number("in_epochs", "steps_per_epoch", steps_per_epoch)
    check(factor > 0, "in_epochs", "steps_per_epoch", "above 0", steps_per_epoch)
    return _stretch(fields.rate("in_epochs", "schedule", schedule), factor)


def extent(schedule):
    """Returns how many steps to draw: past the end, or some four periods."""
    reach = max(1, round(min(_reach(schedule), 2**28)))
    later = np.linspace(reach, 5 * reach, 64).astype("int64")
    ends = np.ptp(values(schedule, later)) == 0
    return reach + reach // 10 + 2 if ends else 4 * reach + 1


def _stretch(schedule, factor):
    if not isinstance(schedule, StockSchedule):
        return schedule
    if not isinstance(schedule, Schedule):
        return _stretch_stock(schedule, factor)
    changed = {
        name: _STRETCH[kind](getattr(schedule, name), factor)
        for name, kind in fields.kinds(type(schedule)).items()
        if kind in _STRETCH
    }
    return dataclasses.replace(schedule, **changed)


def _stretch_stock(schedule, factor):
    known = type(schedule).__module__.startswith("keras.")
    check(known, "in_epochs", "schedule", "one of ours or of Keras's own", schedule)
    config = schedule.get_config()
    for name in set(config) & set(_STOCK_LENGTHS):
        many = isinstance(config[name], (list, tuple))
        stretch = _stretch_all if many else _stretch_steps
        config[name] = stretch(config[name], factor)
    return type(schedule).from_config(config)


def _stretch_steps(steps, factor):
    return max(1, round(steps * factor)) if steps else steps


def _stretch_all(steps, factor):
    return tuple(_stretch_steps(step, factor) for step in steps)


_STRETCH = {
    fields.FactorPerStep: lambda value, factor: value ** (1 / factor),
    fields.OrderedSteps: _stretch_all,
    fields.PerStep: lambda value, factor: value / factor,
    fields.Points: lambda points, factor: tuple(
        (_stretch_steps(step, factor), value) for step, value in points
    ),
    fields.Rate: _stretch,
    fields.Rates: lambda rates, factor: tuple(_stretch(r, factor) for r in rates),
    fields.Steps: _stretch_steps,
    fields.Steps | None: _stretch_steps,
}


def _reach(schedule):
    """Returns the steps to the end, or of one period, as far as the fields tell."""
    if not isinstance(schedule, StockSchedule):
        return 0
    if not isinstance(schedule, Schedule):
        config = schedule.get_config()
        return sum(np.max(config[n]) for n in _STOCK_LENGTHS if config.get(n))
    kinds = fields.kinds(type(schedule))
    told = [(kind, getattr(schedule, name)) for name, kind in kinds.items()]
    own = sum(_REACH[kind](value) for kind, value in told if kind in _REACH)
    slowed = (_reach(value) for kind, value in told if kind == fields.RateInOwnSteps)
    return own * max(1, *slowed, 0)


_REACH = {
    fields.OrderedSteps: lambda steps: max(steps, default=0),
    fields.PerStep: lambda value: 1 / value if value else 0,
    fields.Points: lambda points: points[-1][0],
    fields.Rate: _reach,
    fields.Rates: lambda rates: _reach(rates[-1]),
    fields.Steps: lambda steps: steps,
    fields.Steps | None: lambda steps: steps or 0,
}

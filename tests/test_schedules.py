"""One row a schedule; every law below then holds for it."""

import copy
import json
import math
import pickle
import re
import sys
import types
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import ops

from keras_sched import schedules
from keras_sched.schedules import (
    CosineAnnealing,
    CosineRestarts,
    InverseSqrtDecay,
    Join,
    LinearDecay,
    MultiStepDecay,
    OneCycle,
    OneCycleMomentum,
    Piecewise,
    Scaled,
    Schedule,
    Slowed,
    StepDecay,
    TimeBasedDecay,
    Triangular,
    Warmup,
    WarmupStableDecay,
)

pytestmark = pytest.mark.every_backend
stock = keras.optimizers.schedules


class Row(NamedTuple):
    schedule: Schedule
    values: dict  # Worked by hand; the cosines are of 60 and 90 degrees.
    end: float | None = None  # What it holds for ever, if it ends.


ROWS = [
    Row(CosineAnnealing(1, 3), {0: 1.0, 1: 0.75, 2: 0.25, 3: 0}, end=0),
    Row(
        CosineAnnealing(0.9, 6, cycles=2, min_learning_rate=0.1),
        {0: 0.9, 1: 0.7, 2: 0.3, 3: 0.9, 4: 0.7, 5: 0.3, 6: 0.1},
        end=0.1,
    ),
    Row(CosineAnnealing(1.0, 5, cycles=2), {2: 0.25, 3: 1.0, 5: 0.25, 6: 0.0}, end=0),
    Row(
        CosineRestarts(1, 3),
        {0: 1.0, 1: 0.75, 2: 0.25, 3: 1.0, 5: 0.75, 7: 0.25, 9: 1.0, 15: 0.5, 21: 1.0},
    ),
    Row(
        CosineRestarts(0.9, 3, cycle_factor=1, max_factor=0.5, min_learning_rate=0.1),
        {0: 0.9, 1: 0.7, 2: 0.3, 3: 0.5, 4: 0.4, 5: 0.2, 6: 0.3},
    ),
    Row(
        CosineRestarts(1.0, 2, cycle_factor=1.5),
        {0: 1.0, 1: 0.5, 2: 1.0, 3: 0.75, 4: 0.25, 5: 1.0, 10: 1.0, 13: 0.5, 16: 1.0},
    ),
    Row(CosineRestarts(1.0, 10**9), {0: 1.0, 10**9: 1.0, 2 * 10**9: 0.5}),
    Row(
        InverseSqrtDecay(0.8, 4),
        {0: 0.2, 1: 0.4, 3: 0.8, 15: 0.4, 399_999_999: 8e-5},
    ),
    Row(
        Join([LinearDecay(0.8, 4), 0.3, StepDecay(0.4, 0.5, 2)], [2, 5]),
        {0: 0.8, 1: 0.6, 2: 0.3, 4: 0.3, 5: 0.4, 6: 0.4, 7: 0.2, 9: 0.1},
        end=0,
    ),
    Row(Join([OneCycle(1, 10)], []), {0: 0.04, 1: 0.52, 2: 1.0, 9: 4e-6}, end=4e-6),
    Row(
        LinearDecay(0.8, 4, end_learning_rate=0.4),
        {0: 0.8, 1: 0.7, 2: 0.6, 4: 0.4, 5: 0.4},
        end=0.4,
    ),
    Row(LinearDecay(0, 4, end_learning_rate=2), {0: 0.0, 1: 0.5, 4: 2.0}, end=2),
    Row(
        MultiStepDecay(0.8, [2, 5], 0.5),
        {0: 0.8, 1: 0.8, 2: 0.4, 4: 0.4, 5: 0.2},
        end=0.2,
    ),
    Row(MultiStepDecay(0.3, []), {0: 0.3, 1: 0.3}, end=0.3),
    Row(OneCycle(1, 10, anneal="linear"), {0: 0.04, 1: 0.52, 2: 1.0, 9: 4e-6}, end=4e-6),
    Row(OneCycle(1.0, 8, pct_start=0.375), {0: 0.04, 1: 0.52, 2: 1, 7: 4e-6}, end=4e-6),
    Row(
        OneCycle(2.0, 10, pct_start=0.5, div_factor=4, three_phase=True),
        {0: 0.5, 2: 1.25, 4: 2.0, 6: 1.25, 8: 0.5, 9: 5e-5},
        end=5e-5,
    ),
    Row(
        OneCycleMomentum(10, anneal="linear"),
        {0: 0.95, 1: 0.9, 2: 0.85, 9: 0.95},
        end=0.95,
    ),
    Row(
        OneCycleMomentum(8, pct_start=0.375),
        {0: 0.95, 1: 0.9, 2: 0.85, 7: 0.95},
        end=0.95,
    ),
    Row(
        Piecewise([(2, 0.1), (4, 0.5), (8, 0)]),
        {0: 0.1, 2: 0.1, 3: 0.3, 4: 0.5, 6: 0.25, 9: 0},
        end=0,
    ),
    Row(
        Piecewise([(0, 1), (3, 0)], interpolation="cosine"),
        {0: 1.0, 1: 0.75, 2: 0.25, 3: 0},
        end=0,
    ),
    Row(
        Piecewise([(0, 3), (2, 2), (5, 1)], interpolation="constant"),
        {0: 3, 1: 3, 2: 2, 4: 2, 5: 1, 6: 1},
        end=1,
    ),
    Row(Piecewise([(5, 0.3)]), {0: 0.3, 5: 0.3, 6: 0.3}, end=0.3),
    Row(Scaled(LinearDecay(0.8, 4), 0.5), {0: 0.4, 1: 0.3, 4: 0.0}, end=0),
    Row(Scaled(3, 0.5), {0: 1.5, 9: 1.5}, end=1.5),
    Row(
        Scaled(Warmup(Join([stock.CosineDecay(0.8, 4), 0.6], [2]), 2), 0.5),
        {0: 0.0, 1: 0.2, 2: 0.4, 4: 0.3, 5: 0.3},
        end=0.3,
    ),
    Row(Slowed(LinearDecay(0.8, 4), 3), {0: 0.8, 2: 0.8, 3: 0.6, 11: 0.2, 12: 0}, end=0),
    Row(StepDecay(0.8, 0.5, 10), {0: 0.8, 9: 0.8, 10: 0.4, 19: 0.4, 30: 0.1}, end=0),
    Row(TimeBasedDecay(0.6, 0.5), {0: 0.6, 1: 0.4, 2: 0.3, 4: 0.2, 199_999_998: 6e-9}),
    Row(TimeBasedDecay(0.6, 0.5, update_steps=4), {0: 0.6, 3: 0.6, 4: 0.2, 10: 0.12}),
    Row(
        Triangular(0.1, 0.5, 4),
        {0: 0.1, 1: 0.2, 4: 0.5, 6: 0.3, 8: 0.1, 10: 0.3, 800_000_004: 0.5},
    ),
    Row(
        Triangular(0.1, 0.5, 4, step_size_down=2, mode="triangular2"),
        {0: 0.1, 1: 0.2, 4: 0.5, 5: 0.3, 6: 0.1, 10: 0.3, 11: 0.2, 16: 0.2},
        end=0.1,
    ),
    Row(
        Triangular(0.1, 0.5, 2, step_size_down=1, mode="exp_range", gamma=0.5),
        {0: 0.1, 1: 0.2, 2: 0.2, 3: 0.1, 4: 0.1125},
        end=0.1,
    ),
    Row(Triangular(0.95, 0.85, 2), {0: 0.95, 1: 0.9, 2: 0.85, 3: 0.9, 4: 0.95}),
    Row(Warmup(0.8, 4), {0: 0.0, 1: 0.2, 3: 0.6, 4: 0.8}, end=0.8),
    Row(
        Warmup(0.8, 2, initial_learning_rate=0.4, mode="cosine"),
        {0: 0.4, 1: 0.6, 2: 0.8},
        end=0.8,
    ),
    Row(
        Warmup(0.8, 3, initial_learning_rate=0.1, mode="constant"),
        {0: 0.1, 2: 0.1, 3: 0.8},
        end=0.8,
    ),
    Row(
        Warmup(StepDecay(0.8, 0.5, 2), 4),
        {0: 0.0, 2: 0.4, 4: 0.8, 5: 0.8, 6: 0.4},
        end=0,
    ),
    Row(
        Warmup(stock.PiecewiseConstantDecay([2], [0.8, 0.1]), 4),
        {2: 0.4, 6: 0.8, 7: 0.1},
        end=0.1,
    ),
    Row(
        Warmup(Warmup(stock.CosineDecay(0.8, 9), 2), 0),
        {0: 0, 1: 0.4, 2: 0.8, 11: 0.0},
        end=0,
    ),
    Row(
        WarmupStableDecay(0.8, 2, 1, 4, end_learning_rate=0.4),
        {0: 0.0, 1: 0.4, 2: 0.8, 3: 0.8, 4: 0.7, 7: 0.4},
        end=0.4,
    ),
    Row(
        WarmupStableDecay(1, 0, 2, 3, decay="cosine"),
        {0: 1.0, 2: 1.0, 3: 0.75, 4: 0.25, 5: 0.0},
        end=0,
    ),
    Row(
        WarmupStableDecay(1.2, 1, 0, 16, decay="1-sqrt", end_learning_rate=0.2),
        {0: 0.0, 1: 1.2, 2: 0.95, 5: 0.7, 10: 0.45, 17: 0.2},
        end=0.2,
    ),
]
IDS = [f"{type(row.schedule).__name__}-{place}" for place, row in enumerate(ROWS)]
every = pytest.mark.parametrize("row", ROWS, ids=IDS)
ours = pytest.mark.parametrize("schedule", [row.schedule for row in ROWS], ids=IDS)


@every
def test_has_the_value_worked_by_hand(row):
    got = {step: float(row.schedule(step)) for step in row.values}
    assert got == pytest.approx(row.values, rel=1e-6, abs=1e-9)


@every
def test_holds_its_end_value_as_far_as_steps_can_count(row):
    got = schedules.values(row.schedule, np.array([10**8, 10**9, 2**31 - 2]))
    if row.end is None:
        assert np.isfinite(got).all()
    else:
        assert got == pytest.approx([row.end] * 3, rel=1e-6, abs=1e-9)


@every
def test_takes_steps_of_every_shape_and_kind(row):
    steps = np.resize([step for step in row.values if step < 200], 8)
    expected = np.array([float(row.schedule(int(step))) for step in steps], "float32")
    given = [np.array(steps, kind) for kind in ("uint8", "int16", "int32", "int64")]
    given += [ops.convert_to_tensor(array) for array in given]
    given += [steps.reshape(2, 4), list(steps), steps[-1]]
    for array in given:
        got = row.schedule(array)
        assert keras.backend.standardize_dtype(got.dtype) == "float32"
        assert tuple(got.shape) == np.shape(array)
        got = ops.convert_to_numpy(got)
        np.testing.assert_array_equal(got.ravel(), expected[-got.size :])


@every
def test_is_the_same_in_a_compiled_function_of_an_integer_variable(row):
    counter = keras.Variable(0, dtype="int", trainable=False)
    for step in row.values:
        counter.assign(step)
        got = float(ops.convert_to_numpy(_compiled(row.schedule)(counter)))
        assert got == pytest.approx(float(row.schedule(step)), rel=1e-6, abs=1e-9)


@ours
def test_is_before_step_zero_what_it_is_there(schedule):
    for step in (-3, ops.convert_to_tensor(-3)):
        assert float(schedule(step)) == float(schedule(0))


@ours
def test_is_past_the_last_step_that_can_be_counted_what_it_is_there(schedule):
    far = [np.int64(2**40), np.array([2**33, 2**62])]
    if keras.backend.backend() != "jax":  # It has no 64-bit integers.
        far.append(ops.convert_to_tensor(np.int64(2**40), dtype="int64"))
    for step in far:
        got = np.ravel(ops.convert_to_numpy(schedule(step)))
        assert set(got.tolist()) == {float(schedule(2**31 - 1))}


@ours
def test_comes_back_equal_from_json(schedule):
    saved = json.dumps(keras.saving.serialize_keras_object(schedule))
    again = keras.saving.deserialize_keras_object(json.loads(saved))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert schedules.values(again, 8).tolist() == schedules.values(schedule, 8).tolist()


@ours
def test_comes_back_equal_from_its_repr(schedule):
    assert schedules.parse(repr(schedule)) == schedule


@ours
def test_comes_back_equal_from_copies_and_pickles(schedule):
    for again in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        assert again == schedule
        assert float(again(3)) == float(schedule(3))


@ours
def test_comes_back_inside_saved_and_cloned_models(schedule, tmp_path):
    kinds = keras.optimizers.SGD, keras.optimizers.Adam
    for optimizer in (kind(schedule) for kind in kinds):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(optimizer, "mse")
        optimizer.build(model.trainable_variables)
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras").optimizer
        assert again._learning_rate == schedule
        assert float(again.learning_rate) == float(schedule(0))
    clone = keras.models.clone_model(model)
    clone.compile(type(optimizer).from_config(optimizer.get_config()), "mse")
    assert clone.optimizer._learning_rate == schedule


def test_every_schedule_has_a_row():
    public = {getattr(schedules, name) for name in schedules.__all__}
    classes = {entry for entry in public if isinstance(entry, type)}
    assert {type(row.schedule) for row in ROWS} == classes - {Schedule}


def test_rows_differ_from_each_other():
    assert len({row.schedule for row in ROWS}) == len(ROWS)


def test_schedules_are_equal_by_value_and_kind():
    assert OneCycle(1, 10) == OneCycle(1.0, 10, pct_start=0.3)
    assert OneCycle(1, 10) != OneCycle(1, 11)
    assert Scaled(1, 2) != Slowed(1, 2)
    assert Warmup(stock.CosineDecay(1.0, 9), 2) == Warmup(stock.CosineDecay(1.0, 9), 2)
    assert Warmup(stock.CosineDecay(1.0, 9), 2) != Warmup(stock.CosineDecay(1.0, 8), 2)


def test_a_schedule_cannot_be_changed():
    with pytest.raises(AttributeError):
        OneCycle(1, 10).total_steps = 11


def test_repr_leaves_out_what_is_as_it_would_be_anyway():
    assert repr(StepDecay(1, 0.5, 10)) == (
        "StepDecay(initial_learning_rate=1.0, drop_factor=0.5, drop_steps=10)"
    )
    assert repr(Warmup(OneCycle(1, 10, anneal="linear"), 2, mode="cosine")) == (
        "Warmup(schedule=OneCycle(max_learning_rate=1.0, total_steps=10, "
        "anneal='linear'), warmup_steps=2, mode='cosine')"
    )


def test_a_schedule_of_ones_own_needs_fields_and_a_formula():
    class Doubling(Schedule):
        learning_rate: float

        def validate(self):
            pass

        def value(self, step):
            return self.learning_rate * ops.cast(2**step, "float32")

    assert schedules.values(Doubling(1), 4).tolist() == [1.0, 2.0, 4.0, 8.0]
    assert Doubling(1) == Doubling(1.0)
    saved = keras.saving.serialize_keras_object(Warmup(Doubling(1), 2))
    assert keras.saving.deserialize_keras_object(saved) == Warmup(Doubling(1), 2)
    with pytest.raises(ValueError, match="`learning_rate` of Doubling must be a finite"):
        Doubling("1")


def test_annotations_may_be_kept_as_text():
    module = types.ModuleType("late")
    text = """
from __future__ import annotations
import dataclasses
from keras_sched.schedules import Schedule
from keras_sched.schedules.fields import Steps

class Late(Schedule):
    start: float
    _: dataclasses.KW_ONLY
    wait_steps: Steps = 3

    def validate(self):
        pass

    def value(self, step):
        return self.start
"""
    sys.modules["late"] = module
    exec(text, vars(module))
    assert module.Late(1) == module.Late(1.0)
    assert schedules.in_epochs(module.Late(1), 10) == module.Late(1, wait_steps=30)
    with pytest.raises(ValueError, match="`wait_steps` of Late must be an integer"):
        module.Late(1, wait_steps=0.5)


def test_values_takes_a_number_and_no_steps():
    assert schedules.values(0.5, 3).tolist() == [0.5, 0.5, 0.5]
    assert schedules.values(OneCycle(1.0, 3), 0).shape == (0,)


def test_values_of_steps_past_the_last_and_before_the_first_are_held():
    rising = schedules.Piecewise([(0, 1.0), (2**31 - 1, 3.0)])
    steps = np.array([-5, 2**30, 2**31 + 7, 2**40])
    assert schedules.values(rising, steps).tolist() == [1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("steps", [np.array([0.5, 1.0]), ["1"], [True], 2.5])
def test_values_of_what_are_no_whole_steps_are_refused(steps):
    with pytest.raises(ValueError, match="of values must be an integer"):
        schedules.values(0.5, steps)


def test_values_reads_a_stock_schedule_step_by_step():
    decay = stock.CosineDecay(1.0, 4, warmup_target=2.0, warmup_steps=2)
    expected = [1, 1.5, 2] + [1 + math.cos(math.pi * t / 4) for t in (1, 2, 3, 4)]
    assert schedules.values(decay, 7) == pytest.approx(expected, abs=1e-6)
    grid = schedules.values(decay, np.array([[0, 1, 2], [2, 2, 6]]))
    assert grid == pytest.approx(np.array([[1, 1.5, 2], [2, 2, 0]]), abs=1e-6)


def test_linear_scaling_is_the_rule_of_goyal_for_rates_and_schedules():
    assert schedules.linear_scaling(0.1, 8192) == pytest.approx(3.2)
    assert schedules.linear_scaling(1, 64, base_batch_size=128) == 0.5
    scaled = schedules.linear_scaling(LinearDecay(0.4, 4), 512)
    assert schedules.values(scaled, 3).tolist() == pytest.approx([0.8, 0.6, 0.4])


IN_EPOCHS = [
    (CosineAnnealing(0.8, 4, cycles=2), CosineAnnealing(0.8, 400, cycles=2)),
    (CosineRestarts(0.8, 2), CosineRestarts(0.8, 200)),
    (InverseSqrtDecay(0.8, 4), InverseSqrtDecay(0.8, 400)),
    (
        Join([LinearDecay(0.8, 4), 0.1], [2]),
        Join([LinearDecay(0.8, 400), 0.1], [200]),
    ),
    (LinearDecay(0.8, 4), LinearDecay(0.8, 400)),
    (MultiStepDecay(0.8, [3, 6]), MultiStepDecay(0.8, [300, 600])),
    (OneCycle(0.8, 8, pct_start=0.2), OneCycle(0.8, 800, pct_start=0.2)),
    (OneCycleMomentum(8), OneCycleMomentum(800)),
    (Piecewise([(0, 1), (2, 0)]), Piecewise([(0, 1), (200, 0)])),
    (Scaled(StepDecay(0.8, 0.5, 3), 2), Scaled(StepDecay(0.8, 0.5, 300), 2)),
    (Slowed(LinearDecay(0.8, 4), 2), Slowed(LinearDecay(0.8, 4), 200)),
    (StepDecay(0.8, 0.5, 3), StepDecay(0.8, 0.5, 300)),
    (TimeBasedDecay(0.8, 0.5), TimeBasedDecay(0.8, 0.005, update_steps=100)),
    (Triangular(0, 1, 2), Triangular(0, 1, 200)),
    (
        Triangular(0, 1, 2, step_size_down=1, mode="exp_range", gamma=0.5),
        Triangular(0, 1, 200, step_size_down=100, mode="exp_range", gamma=0.5**0.01),
    ),
    (Warmup(0.8, 0), Warmup(0.8, 0)),
    (Warmup(OneCycle(0.8, 8), 1), Warmup(OneCycle(0.8, 800), 100)),
    (WarmupStableDecay(0.8, 1, 0, 2), WarmupStableDecay(0.8, 100, 0, 200)),
    (Warmup(stock.CosineDecay(0.8, 8), 1), Warmup(stock.CosineDecay(0.8, 800), 100)),
    (
        Warmup(stock.PiecewiseConstantDecay([1, 2], [3.0, 2.0, 1.0]), 1),
        Warmup(stock.PiecewiseConstantDecay([100, 200], [3.0, 2.0, 1.0]), 100),
    ),
]


@pytest.mark.parametrize("epochs, steps", IN_EPOCHS, ids=lambda s: type(s).__name__)
def test_a_schedule_in_epochs_becomes_one_in_steps(epochs, steps):
    assert schedules.in_epochs(epochs, 100) == steps


def test_every_schedule_can_be_written_in_epochs():
    assert {type(epochs) for epochs, _ in IN_EPOCHS} == {type(r.schedule) for r in ROWS}


def test_epochs_are_rounded_to_whole_steps_but_never_to_none():
    assert schedules.in_epochs(Warmup(1, 3), 0.5) == Warmup(1, 2)
    assert schedules.in_epochs(Warmup(1, 1), 0.1) == Warmup(1, 1)
    assert schedules.in_epochs(0.5, 100) == 0.5


def test_slowed_is_stepped_by_updates_under_gradient_accumulation():
    rate = LinearDecay(0.8, 4)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    accumulated = keras.optimizers.SGD(Slowed(rate, 2), gradient_accumulation_steps=2)
    model.compile(accumulated, "mae")
    model.set_weights([np.zeros((1, 1))])
    x, y = np.ones((10, 1)), np.full((10, 1), 100.0)
    model.fit(x, y, batch_size=1, epochs=1, verbose=0, shuffle=False)
    # The gradient is -1 at each batch; five updates are made with the rates of 0 to 4.
    rates = schedules.values(rate, 5)
    assert model.get_weights()[0] == pytest.approx(sum(rates), rel=1e-5)


PARSED = [
    ("0.5", 0.5),
    (" -1 ", -1),
    ("OneCycle(0.4, total_steps=24 * 391)", OneCycle(0.4, 9384)),
    ("StepDecay(1 / 4, 0.5, 7 // 2 + 1 - 1)", StepDecay(0.25, 0.5, 3)),
    ("Piecewise([(0, 1), (4, 0)])", Piecewise([(0, 1), (4, 0)])),
    ("in_epochs(Warmup(0.1, 5), 391)", Warmup(0.1, 1955)),
    ("Scaled(CosineDecay(0.8, 9), 2)", Scaled(stock.CosineDecay(0.8, 9), 2)),
    ("linear_scaling(0.1, 512)", 0.2),
]


@pytest.mark.parametrize("text, expected", PARSED, ids=[text for text, _ in PARSED])
def test_text_is_read_as_a_schedule(text, expected):
    assert schedules.parse(text) == expected


NOT_PARSED = {
    "OneCycle(1": r"`text` of parse must be a schedule as one writes it \('\(' was",
    "OneCycle(1)": r"as one writes it \(OneCycle.__init__\(\) missing 1 required",
    "OneCycle(0, 9)": "`max_learning_rate` of OneCycle must be above 0",
    "OneCicle(1, 9)": r"made of known names \(CosineAnnealing, CosineDecay, .*\). Re",
    "__import__('os').remove('x')": "made of calls and numbers only",
    "__import__('os')": "made of known names",
    "open('x', 'w')": "made of known names",
    "Schedule()": "made of known names",
    "values(1, 2)": "made of known names",
    "OneCycle(1, 9).value": "made of calls and numbers only. Received: text='OneCycle",
    "(lambda: 1)()": "made of calls and numbers only",
    "9 ** 9 ** 9": "made of calls and numbers only",
    "'9' * 9": "arithmetic on numbers only",
    "1 / 0": r"as one writes it \(division by zero\)",
    "'OneCycle'": "`text` of parse must be a schedule or a number",
    "True": "`text` of parse must be a schedule or a number",
    "": "as one writes it",
    "(" * 10_000: "as one writes it",
}


@pytest.mark.parametrize("text", NOT_PARSED, ids=range(len(NOT_PARSED)))
def test_other_text_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match=NOT_PARSED[text]):
        schedules.parse(text)


REFUSED = {
    "`max_learning_rate` of OneCycle must be above 0": lambda: OneCycle(0, 10),
    "`max_learning_rate` of OneCycle must be a finite number. Received: max_learning_rate"
    "='1'": lambda: OneCycle("1", 10),
    "`max_learning_rate` of OneCycle must be a finite number. Received: max_learning_rate"
    "=nan": lambda: OneCycle(math.nan, 10),
    "`max_learning_rate` of OneCycle must be a finite number. Received: max_learning_rate"
    "=True": lambda: OneCycle(True, 10),
    "`total_steps` of OneCycle must be at least 1": lambda: OneCycle(1, 0),
    "`total_steps` of OneCycle must be an integer of": lambda: OneCycle(1, 10.0),
    "`total_steps` of OneCycle must be an integer below": lambda: OneCycle(1, 2**31),
    "`pct_start` of OneCycle must be between 0 and 1. Received: pct_start=30": (
        lambda: OneCycle(1, 10, pct_start=30)
    ),
    "`pct_start` of OneCycle must be between 0 and 0.5, as there are three phases": (
        lambda: OneCycle(1, 10, pct_start=0.6, three_phase=True)
    ),
    "`anneal` of OneCycle must be one of 'cosine', 'linear'": (
        lambda: OneCycle(1, 10, anneal="cos")
    ),
    "`div_factor` of OneCycle must be above 0": lambda: OneCycle(1, 10, div_factor=0),
    "`max_momentum` of OneCycleMomentum must be from 0 to below 1": (
        lambda: OneCycleMomentum(10, max_momentum=1)
    ),
    "`initial_learning_rate` of StepDecay must be at": lambda: StepDecay(-1, 0.5, 1),
    "`drop_factor` of StepDecay must be above 0 and at most 1. Received: drop_factor=0": (
        lambda: StepDecay(1, 0, 1)
    ),
    "`drop_factor` of StepDecay must be above 0 and at most 1. Received: drop_factor=2": (
        lambda: StepDecay(1, 2, 1)
    ),
    "`drop_steps` of StepDecay must be at least 1": lambda: StepDecay(1, 0.5, 0),
    "`boundaries` of MultiStepDecay must be steps in growing order": (
        lambda: MultiStepDecay(1, [2, 2])
    ),
    "`boundaries` of MultiStepDecay must be an integer of at least 1": (
        lambda: MultiStepDecay(1, [0, 2])
    ),
    "`boundaries` of MultiStepDecay must be a list or a tuple": (
        lambda: MultiStepDecay(1, 2)
    ),
    "`drop_factor` of MultiStepDecay must be above 0 and at most 1": (
        lambda: MultiStepDecay(1, [2], 0)
    ),
    "`decay_rate` of TimeBasedDecay must be at": lambda: TimeBasedDecay(1, -1),
    "`update_steps` of TimeBasedDecay must be at least 1": (
        lambda: TimeBasedDecay(1, 1, update_steps=0)
    ),
    "`decay_steps` of LinearDecay must be at least 1": lambda: LinearDecay(1, 0),
    "`end_learning_rate` of LinearDecay must be at least 0": (
        lambda: LinearDecay(1, 2, end_learning_rate=-1)
    ),
    "`max_learning_rate` of CosineAnnealing must be at least 0.5": (
        lambda: CosineAnnealing(0.1, 9, min_learning_rate=0.5)
    ),
    "`cycles` of CosineAnnealing must be from 1 to total_steps, 9. Received: cycles=10": (
        lambda: CosineAnnealing(0.1, 9, cycles=10)
    ),
    "`cycles` of CosineAnnealing must be from 1 to total_steps, 9. Received: cycles=0": (
        lambda: CosineAnnealing(0.1, 9, cycles=0)
    ),
    "`cycle_factor` of CosineRestarts must be at least 1": (
        lambda: CosineRestarts(1, 9, cycle_factor=0.9)
    ),
    "`cycle_factor` of CosineRestarts must be 1, or large enough for at most 65,536": (
        lambda: CosineRestarts(1, 9, cycle_factor=1 + 1e-9)
    ),
    "`max_factor` of CosineRestarts must be above 0 and at most 1": (
        lambda: CosineRestarts(1, 9, max_factor=1.1)
    ),
    "`first_cycle_steps` of CosineRestarts must be at": lambda: CosineRestarts(1, 0),
    "`warmup_steps` of InverseSqrtDecay must be at least 1": (
        lambda: InverseSqrtDecay(1, 0)
    ),
    "`step_size_up` of Triangular must be at least 1": lambda: Triangular(0, 1, 0),
    "`step_size_down` of Triangular must be an integer of at least 1": (
        lambda: Triangular(0, 1, 1, step_size_down=0)
    ),
    "`step_size_up + step_size_down` of Triangular must be an integer below 2**31": (
        lambda: Triangular(0, 1, 2**30)
    ),
    "`mode` of Triangular must be one of 'triangular', 'triangular2', 'exp_range'": (
        lambda: Triangular(0, 1, 1, mode="sin")
    ),
    "`gamma` of Triangular must be above 0 and at most 1": (
        lambda: Triangular(0, 1, 1, gamma=1.1)
    ),
    "`decay_steps` of WarmupStableDecay must be at least 1": (
        lambda: WarmupStableDecay(1, 1, 1, 0)
    ),
    "`warmup_steps + stable_steps + decay_steps` of WarmupStableDecay must be an integer "
    "below 2**31": lambda: WarmupStableDecay(1, 2**30, 2**30, 1),
    "`decay` of WarmupStableDecay must be one of 'linear', 'cosine', '1-sqrt'": (
        lambda: WarmupStableDecay(1, 1, 1, 1, decay="exp")
    ),
    "`max_learning_rate` of WarmupStableDecay must be at least 0.5": (
        lambda: WarmupStableDecay(0.1, 1, 1, 1, end_learning_rate=0.5)
    ),
    "`schedule` of Warmup must be a finite number or a sched": lambda: Warmup("0.1", 4),
    "`warmup_steps` of Warmup must be an integer of at least 0": lambda: Warmup(0.1, -1),
    "`mode` of Warmup must be one of 'linear'": lambda: Warmup(0.1, 4, mode="exp"),
    "`initial_learning_rate` of Warmup must be above 0 with mode='constant'": (
        lambda: Warmup(0.1, 4, mode="constant")
    ),
    "`schedules` of Join must be at least one": lambda: Join([], []),
    "`schedules` of Join must be a list or a tuple": lambda: Join(0.1, []),
    "`schedules` of Join must be a finite number or a schedule": (
        lambda: Join([0.1, None], [2])
    ),
    "`boundaries` of Join must be 1 for 2 schedules": lambda: Join([0.1, 0.2], []),
    "`factor` of Scaled must be at least 0": lambda: Scaled(0.1, -1),
    "`factor` of Slowed must be at least 1": lambda: Slowed(0.1, 0),
    "`points` of Piecewise must be at least one pair": lambda: Piecewise([]),
    "`points` of Piecewise must be at least one pair, in order of step. Received: points"
    "=((2, 1.0), (1, 1.0))": lambda: Piecewise([(2, 1), (1, 1)]),
    "`points` of Piecewise must be at least one pair, in order of step. Received: points"
    "=((1, 1.0), (1, 2.0))": lambda: Piecewise([(1, 1), (1, 2)]),
    "`points` of Piecewise must be (step, value) pairs": lambda: Piecewise([1, 2]),
    "`points` of Piecewise must be an integer of at": lambda: Piecewise([(0.5, 1)]),
    "`points` of Piecewise must be a finite number": lambda: Piecewise([(0, math.inf)]),
    "`step` of OneCycle must be an integer, or integers": lambda: OneCycle(1, 10)(2.5),
    "`step` of StepDecay must be an integer, or integers": (
        lambda: StepDecay(1, 0.5, 10)(ops.ones((3,)))
    ),
    "`schedule` of values must be a finite number": lambda: schedules.values(None, 3),
    "`steps` of values must be an integer of at least": lambda: schedules.values(1, -1),
    "`batch_size` of linear_scaling must be an integer of at least 1": (
        lambda: schedules.linear_scaling(0.1, 0)
    ),
    "`steps_per_epoch` of in_epochs must be above 0": (
        lambda: schedules.in_epochs(OneCycle(1, 10), 0)
    ),
    "`schedule` of in_epochs must be one of ours or of Keras's own": (
        lambda: schedules.in_epochs(_Foreign(), 10)
    ),
    "`boundaries` of MultiStepDecay must be steps in growing order, all different. Receiv"
    "ed: boundaries=(1, 1)": (
        lambda: schedules.in_epochs(MultiStepDecay(1, [1, 2]), 0.5)
    ),
    "`text` of parse must be a string": lambda: schedules.parse(0.1),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_bad_arguments_are_refused_in_one_sentence(sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        REFUSED[sentence]()


class _Foreign(stock.LearningRateSchedule):
    def __call__(self, step):
        return 0.1


def _compiled(function):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        jitted = tensorflow.function(function, jit_compile=True)
        return lambda variable: jitted(variable.value)
    if backend == "jax":
        import jax

        jitted = jax.jit(function)
        return lambda variable: jitted(variable.value)
    return lambda variable: function(variable.value)

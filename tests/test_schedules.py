"""One row a schedule; every law below then holds for it."""

import fractions
import json
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_sched import schedules
from keras_sched.schedules import (
    OneCycle,
    OneCycleMomentum,
    Piecewise,
    StepDecay,
    TimeBasedDecay,
    Warmup,
)

pytestmark = pytest.mark.every_backend
stock = keras.optimizers.schedules

# Values worked by hand; the cosines are of 60 and 90 degrees.
ROWS = [
    (OneCycle(1, 10, anneal="linear"), {0: 0.04, 1: 0.52, 2: 1.0, 9: 4e-6, 10: 4e-6}),
    (OneCycle(1.0, 8, pct_start=0.375), {0: 0.04, 1: 0.52, 2: 1.0, 7: 4e-6, 99: 4e-6}),
    (
        OneCycle(2.0, 10, pct_start=0.5, div_factor=4, three_phase=True),
        {0: 0.5, 2: 1.25, 4: 2.0, 6: 1.25, 8: 0.5, 9: 5e-5, 99: 5e-5},
    ),
    (OneCycleMomentum(10, anneal="linear"), {0: 0.95, 1: 0.9, 2: 0.85, 9: 0.95}),
    (OneCycleMomentum(8, pct_start=0.375), {0: 0.95, 1: 0.9, 2: 0.85, 7: 0.95}),
    (StepDecay(0.8, 0.5, 10), {0: 0.8, 9: 0.8, 10: 0.4, 19: 0.4, 30: 0.1}),
    (TimeBasedDecay(0.6, 0.5), {0: 0.6, 1: 0.4, 2: 0.3, 4: 0.2, 10: 0.1}),
    (TimeBasedDecay(0.6, 0.5, update_steps=4), {0: 0.6, 3: 0.6, 4: 0.2, 10: 0.12}),
    (Warmup(0.8, 4), {0: 0.0, 1: 0.2, 3: 0.6, 4: 0.8, 99: 0.8}),
    (
        Warmup(0.8, 2, initial_learning_rate=0.4, mode="cosine"),
        {0: 0.4, 1: 0.6, 2: 0.8},
    ),
    (
        Warmup(0.8, 3, initial_learning_rate=0.1, mode="constant"),
        {0: 0.1, 2: 0.1, 3: 0.8},
    ),
    (Warmup(StepDecay(0.8, 0.5, 2), 4), {0: 0.0, 2: 0.4, 4: 0.8, 5: 0.8, 6: 0.4}),
    (
        Warmup(stock.PiecewiseConstantDecay([2], [0.8, 0.1]), 4),
        {2: 0.4, 6: 0.8, 7: 0.1},
    ),
    (Warmup(Warmup(stock.CosineDecay(0.8, 9), 2), 0), {0: 0, 1: 0.4, 2: 0.8, 11: 0.0}),
    (
        Piecewise([(2, 0.1), (4, 0.5), (8, 0)]),
        {0: 0.1, 2: 0.1, 3: 0.3, 4: 0.5, 6: 0.25, 9: 0},
    ),
    (
        Piecewise([(0, 1), (3, 0)], interpolation="cosine"),
        {0: 1.0, 1: 0.75, 2: 0.25, 3: 0},
    ),
    (
        Piecewise([(0, 3), (2, 2), (5, 1)], interpolation="constant"),
        {0: 3, 1: 3, 2: 2, 4: 2, 5: 1, 6: 1},
    ),
    (Piecewise([(5, 0.3)]), {0: 0.3, 5: 0.3, 6: 0.3}),
]
IDS = [f"{type(schedule).__name__}-{row}" for row, (schedule, _) in enumerate(ROWS)]
every = pytest.mark.parametrize("schedule, values", ROWS, ids=IDS)


@every
def test_has_the_value_worked_by_hand(schedule, values):
    got = {step: float(schedule(step)) for step in values}
    assert got == pytest.approx(values, rel=1e-6, abs=1e-9)


@every
def test_gives_a_vector_what_it_gives_each_step(schedule, values):
    steps = np.array([[step] for step in values])
    got = schedules.values(schedule, steps)
    assert got.dtype == np.float32
    assert got[:, 0].tolist() == [float(schedule(step)) for step in values]


@every
def test_is_the_same_in_a_compiled_function_of_an_integer_variable(schedule, values):
    counter = keras.Variable(0, dtype="int", trainable=False)
    for step in values:
        counter.assign(step)
        got = float(ops.convert_to_numpy(_compiled(schedule)(counter)))
        assert got == pytest.approx(float(schedule(step)), rel=1e-6, abs=1e-9)


@every
def test_holds_its_end_value_as_far_as_steps_can_count(schedule, values):
    endless = "Step" in repr(schedule) or "Time" in repr(schedule)
    end = 0.0 if endless else values[max(values)]
    got = schedules.values(schedule, np.array([10**8, 10**9, 2**31 - 2]))
    assert got == pytest.approx([end] * 3, rel=1e-6, abs=1e-7)


@every
def test_comes_back_equal_from_json(schedule, values):
    saved = json.dumps(keras.saving.serialize_keras_object(schedule))
    again = keras.saving.deserialize_keras_object(json.loads(saved))
    assert schedules.values(again, 20).tolist() == schedules.values(schedule, 20).tolist()
    if "Decay object" not in repr(schedule):  # Stock schedules compare by identity.
        assert again == schedule
        assert hash(again) == hash(schedule)


@every
def test_comes_back_inside_a_saved_model(schedule, values, tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(schedule), "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").optimizer
    expected = schedules.values(schedule, 20).tolist()
    assert schedules.values(again._learning_rate, 20).tolist() == expected


def test_every_schedule_has_a_row():
    public = {getattr(schedules, name) for name in schedules.__all__}
    classes = {entry for entry in public if isinstance(entry, type)}
    assert {type(schedule) for schedule, _ in ROWS} == classes - {schedules.Schedule}


def test_schedules_that_differ_are_not_equal():
    assert OneCycle(1, 10) == OneCycle(1.0, 10, pct_start=0.3)
    assert OneCycle(1, 10) != OneCycle(1, 11)


@pytest.mark.parametrize("total_steps", [1, 2, 3, 7, 10, 99, 1000])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal", ["cosine", "linear"])
def test_one_cycle_equals_torch_at_every_step(total_steps, three_phase, anneal):
    torch = pytest.importorskip("torch", reason="parity with torch needs torch")
    for pct_start in (0.0, 0.1, 0.3, 0.47, 0.5) + (0.9, 1.0) * (not three_phase):
        shape = dict(pct_start=pct_start, three_phase=three_phase)
        try:
            expected = _torch_one_cycle(torch, total_steps, anneal, dict(shape))
        except ZeroDivisionError:
            continue
        rate = OneCycle(0.7, total_steps, anneal=anneal, **shape)
        momentum = OneCycleMomentum(total_steps, anneal=anneal, **shape)
        got = [schedules.values(s, total_steps) for s in (rate, momentum)]
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def _torch_one_cycle(torch, total_steps, anneal, shape):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 0.1, momentum=0.9)
    shape["anneal_strategy"] = {"cosine": "cos", "linear": "linear"}[anneal]
    cycle_of = torch.optim.lr_scheduler.OneCycleLR
    cycle = cycle_of(optimizer, 0.7, total_steps=total_steps, **shape)
    seen = []
    for step in range(total_steps):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group["momentum"]))
        optimizer.step()
        if step < total_steps - 1:
            cycle.step()
    return np.array(seen).T


def test_where_torch_divides_by_zero_the_cycle_starts_at_its_peak():
    assert schedules.values(OneCycle(1.0, 10, pct_start=0.1), 2)[0] == 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**6), st.fractions(0, 1), st.data())
def test_one_cycle_is_right_against_exact_fractions(total_steps, pct_start, data):
    pct_start = float(pct_start)
    rate = OneCycle(1.0, total_steps, pct_start=pct_start, anneal="linear")
    near = [0, 1, int(pct_start * total_steps) - 1, total_steps - 2, total_steps - 1]
    steps = [step for step in near if 0 <= step < total_steps]
    steps.append(data.draw(st.integers(0, total_steps - 1)))
    expected = [_exact(total_steps, fractions.Fraction(pct_start), s) for s in steps]
    got = schedules.values(rate, np.array(steps))
    np.testing.assert_allclose(got, np.array(expected, "float64"), rtol=2e-6)


def _exact(total_steps, pct_start, step):
    """One linear cycle from 1/25 to 1 to 1/250000, in fractions."""
    first, last = fractions.Fraction(1, 25), fractions.Fraction(1, 250_000)
    peak, end = pct_start * total_steps - 1, total_steps - 1
    if end == 0:
        return last
    if step <= peak:
        return first + (1 - first) * step / peak if peak else fractions.Fraction(1)
    return 1 + (last - 1) * (step - peak) / (end - peak)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 10**6),
    st.floats(0, 1),
    st.sampled_from(["cosine", "linear"]),
)
def test_one_cycle_stays_within_its_bounds(total_steps, pct_start, anneal):
    rate = OneCycle(1.0, total_steps, pct_start=pct_start, anneal=anneal)
    steps = np.unique(np.linspace(0, 2 * total_steps, 200, dtype="int64"))
    got = schedules.values(rate, steps)
    assert np.all((got >= 3.9999e-6) & (got <= 1 + 1e-6))
    assert np.all(got[steps >= total_steps] == np.float32(4e-6))


def test_steps_above_two_to_the_24_are_told_apart():
    late = Piecewise([(2**24, 0), (2**24 + 8, 8), (2**30, 8)])
    steps = np.arange(2**24, 2**24 + 9)
    assert schedules.values(late, steps).tolist() == list(range(9))
    drops = StepDecay(1.0, 0.5, 2**24 + 1)
    assert schedules.values(drops, steps[:2]).tolist() == [1.0, 0.5]


def test_values_takes_a_number_and_no_steps():
    assert schedules.values(0.5, 3).tolist() == [0.5, 0.5, 0.5]
    assert schedules.values(OneCycle(1.0, 3), 0).shape == (0,)


def test_values_reads_a_stock_schedule_step_by_step():
    decay = stock.CosineDecay(1.0, 4, warmup_target=2.0, warmup_steps=2)
    expected = [1, 1.5, 2] + [1 + math.cos(math.pi * t / 4) for t in (1, 2, 3, 4)]
    assert schedules.values(decay, 7) == pytest.approx(expected, abs=1e-6)


REFUSED = [
    (lambda: OneCycle(0, 10), "`max_learning_rate` of OneCycle must be above 0"),
    (
        lambda: OneCycle("1", 10),
        "`max_learning_rate` of OneCycle must be a finite number",
    ),
    (
        lambda: OneCycle(math.nan, 10),
        "`max_learning_rate` of OneCycle must be a finite",
    ),
    (lambda: OneCycle(True, 10), "`max_learning_rate` of OneCycle must be a finite"),
    (lambda: OneCycle(1, 0), "`total_steps` of OneCycle must be at least 1"),
    (lambda: OneCycle(1, 10.0), "`total_steps` of OneCycle must be an integer"),
    (lambda: OneCycle(1, 2**31), "`total_steps` of OneCycle must be an integer below"),
    (
        lambda: OneCycle(1, 10, pct_start=30),
        "`pct_start` of OneCycle must be between 0",
    ),
    (
        lambda: OneCycle(1, 10, pct_start=0.6, three_phase=True),
        "`pct_start` of OneCycle must be between 0 and 0.5, as there are three phases",
    ),
    (lambda: OneCycle(1, 10, anneal="cos"), "must be one of 'cosine', 'linear'"),
    (lambda: OneCycle(1, 10, div_factor=0), "`div_factor` of OneCycle must be above 0"),
    (
        lambda: OneCycleMomentum(10, max_momentum=1),
        "`max_momentum` of OneCycleMomentum must be from 0 to below 1",
    ),
    (lambda: StepDecay(-1, 0.5, 1), "`initial_learning_rate` of StepDecay must be at"),
    (lambda: StepDecay(1, 0, 1), "`drop_factor` of StepDecay must be above 0"),
    (lambda: StepDecay(1, 0.5, 0), "`drop_steps` of StepDecay must be at least 1"),
    (
        lambda: TimeBasedDecay(1, -1),
        "`decay_rate` of TimeBasedDecay must be at least 0",
    ),
    (
        lambda: TimeBasedDecay(1, 1, update_steps=0),
        "`update_steps` of TimeBasedDecay must be at least 1",
    ),
    (
        lambda: Warmup("0.1", 4),
        "`schedule` of Warmup must be a finite number or a schedule",
    ),
    (
        lambda: Warmup(0.1, -1),
        "`warmup_steps` of Warmup must be an integer of at least 0",
    ),
    (lambda: Warmup(0.1, 4, mode="exp"), "`mode` of Warmup must be one of 'linear'"),
    (
        lambda: Warmup(0.1, 4, mode="constant"),
        "`initial_learning_rate` of Warmup must be above 0 with mode='constant'",
    ),
    (lambda: Piecewise([]), "`points` of Piecewise must be at least one pair"),
    (lambda: Piecewise([(2, 1), (1, 1)]), "`points` of Piecewise must be at least one"),
    (lambda: Piecewise([(1, 1), (1, 2)]), "`points` of Piecewise must be at least one"),
    (
        lambda: Piecewise([1, 2]),
        "`points` of Piecewise must be \\(step, value\\) pairs",
    ),
    (lambda: Piecewise([(0.5, 1)]), "`points` of Piecewise must be an integer"),
    (
        lambda: Piecewise([(0, math.inf)]),
        "`points` of Piecewise must be a finite number",
    ),
    (lambda: OneCycle(1, 10)(2.5), "`step` of OneCycle must be an integer"),
    (lambda: schedules.values(None, 3), "`schedule` of values must be a finite number"),
    (
        lambda: schedules.values(1, -1),
        "`steps` of values must be an integer of at least",
    ),
]


@pytest.mark.parametrize("build, sentence", REFUSED, ids=[text for _, text in REFUSED])
def test_bad_arguments_are_refused_in_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


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

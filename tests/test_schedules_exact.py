"""Any schedule anybody could write, against its definition in exact fractions."""

import dataclasses
import itertools
import math
from fractions import Fraction

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    Slowed,
    StepDecay,
    TimeBasedDecay,
    Triangular,
    Warmup,
    WarmupStableDecay,
)

pytestmark = pytest.mark.every_backend
PROBES = 48  # Always as many, so that JAX compiles once.

steps = st.one_of(st.integers(1, 12), st.integers(1, 10**6))
rates = st.one_of(st.just(0.0), st.floats(1e-4, 10.0))
peaks = st.floats(1.0, 10.0)
lows = st.one_of(st.just(0.0), st.floats(1e-4, 1.0))
shares = st.floats(1e-3, 1.0)
cycle_shapes = dict(
    pct_start=st.one_of(st.sampled_from([0.0, 0.5]), st.floats(0, 0.5)),
    anneal=st.sampled_from(["linear", "cosine"]),
    three_phase=st.booleans(),
)
growing = st.lists(steps, max_size=4, unique=True).map(sorted)

ANY = {
    "cosine annealing": st.builds(
        CosineAnnealing, peaks, steps, cycles=st.just(1), min_learning_rate=lows
    ),
    "cosine cycles": st.builds(
        CosineAnnealing,
        peaks,
        st.integers(9, 10**6),
        cycles=st.integers(1, 9),
        min_learning_rate=lows,
    ),
    "cosine restarts": st.builds(
        CosineRestarts,
        peaks,
        steps,
        cycle_factor=st.one_of(
            st.sampled_from([1.0, 1.1, 1.3, 1.5, 2.0, 3.0]), st.floats(1.05, 4)
        ),
        max_factor=st.sampled_from([1.0, 0.5]),
        min_learning_rate=lows,
    ),
    "inverse square root": st.builds(InverseSqrtDecay, rates, steps),
    "linear": st.builds(LinearDecay, rates, steps, end_learning_rate=rates),
    "multi-step": st.builds(MultiStepDecay, rates, growing, shares),
    "one cycle": st.builds(OneCycle, peaks, steps, **cycle_shapes),
    "one cycle, any start": st.builds(
        OneCycle, peaks, steps, pct_start=st.floats(0, 1), anneal=st.just("linear")
    ),
    "one cycle of momentum": st.builds(OneCycleMomentum, steps, **cycle_shapes),
    "points": st.builds(
        lambda places, heights, kind: Piecewise(
            list(zip(places, heights)), interpolation=kind
        ),
        growing.filter(len),
        st.lists(rates, min_size=4, max_size=4),
        st.sampled_from(["linear", "cosine", "constant"]),
    ),
    "step": st.builds(StepDecay, rates, st.floats(0.5, 1.0), steps),
    "time": st.builds(TimeBasedDecay, rates, rates, update_steps=steps),
    "triangular": st.builds(
        Triangular, rates, rates, steps, step_size_down=st.one_of(st.none(), steps)
    ),
    "triangular, falling": st.builds(
        Triangular,
        lows,
        peaks,
        steps,
        mode=st.sampled_from(["triangular2", "exp_range"]),
        gamma=st.sampled_from([1.0, 0.9999, 0.5]),
    ),
    "trapezoid": st.builds(
        WarmupStableDecay,
        peaks,
        st.integers(0, 10**6),
        st.integers(0, 10**6),
        steps,
        decay=st.sampled_from(["linear", "cosine", "1-sqrt"]),
        end_learning_rate=lows,
    ),
}
whole = ANY["linear"]
ANY |= {
    "join": st.builds(
        lambda parts, places: Join(parts[: len(places) + 1], places),
        st.lists(whole, min_size=5, max_size=5),
        growing,
    ),
    "scaled": st.builds(Scaled, whole, rates),
    "slowed": st.builds(Slowed, whole, st.integers(1, 1000)),
    "warm-up": st.builds(
        Warmup,
        st.one_of(rates, whole),
        st.integers(0, 10**6),
        initial_learning_rate=lows,
        mode=st.sampled_from(["linear", "cosine"]),
    ),
}


def exact(schedule, step):
    """Returns the value by the definition: a Fraction where one can be."""
    if isinstance(schedule, (float, Fraction)):
        return Fraction(schedule)
    told = {f.name: getattr(schedule, f.name) for f in dataclasses.fields(schedule)}
    told = {n: Fraction(v) if isinstance(v, float) else v for n, v in told.items()}
    return DEFINITIONS[type(schedule)](step, *told.values())


def line(start, end, part, kind="linear"):
    """From start to end; half a wave is 1 - cos, said so that nothing cancels."""
    if kind == "linear":
        return start + (end - start) * part
    if part > Fraction(1, 2):
        return line(end, start, 1 - part, kind)
    return float(start) + float(end - start) * math.sin(math.pi / 2 * part) ** 2


def clamp(part):
    return min(max(part, Fraction(0)), Fraction(1))


def cosine_annealing(t, most, total, cycles, least):
    length = math.ceil(Fraction(total, cycles))
    cycle, place = divmod(t, length)
    over = cycle >= math.ceil(Fraction(total, length))
    return least if over else line(most, least, Fraction(place, length), "cosine")


def restarts(first, factor):
    """Yields (start, end) of each cycle, ends rounded where the lengths are not whole."""
    end, length, start = Fraction(0), Fraction(first), 0
    while True:
        end, length = end + length, length * factor
        yield start, (start := math.floor(end + Fraction(1, 2)))


def cosine_restarts(t, most, first, factor, max_factor, least):
    for cycle, (start, end) in enumerate(restarts(first, factor)):
        if t < end:
            height = (most - least) * max_factor**cycle
            part = Fraction(t - start, end - start)
            return line(least + height, least, part, "cosine")


def inverse_sqrt(t, most, warmup):
    part = Fraction(t + 1, warmup)
    return float(most) * min(float(part), 1 / math.sqrt(part))


def one_cycle(t, most, total, pct_start, div, final_div, anneal, three_phase):
    first = most / div
    knots = [first, most, *([first] * three_phase), first / final_div]
    return phases(t, total, pct_start, knots, anneal)


def one_cycle_momentum(t, total, base, most, pct_start, anneal, three_phase):
    knots = [most, base, *([most] * three_phase), most]
    return phases(t, total, pct_start, knots, anneal)


def phases(t, total, pct_start, knots, anneal):
    """PyTorch's: the phase is the first that is not over, and holds from its end on."""
    peak = Fraction(float(pct_start) * total - 1)
    ends = [peak, *([2 * peak] * (len(knots) == 4)), Fraction(total - 1)]
    begin, t = Fraction(0), min(Fraction(t), Fraction(total - 1))
    for end, (start_value, end_value) in zip(ends, itertools.pairwise(knots)):
        if end > begin and t <= end:
            return line(start_value, end_value, (t - begin) / (end - begin), anneal)
        begin = end
    return knots[-1]


def points(t, pairs, kind):
    pairs = [(step, Fraction(value)) for step, value in pairs]
    if t <= pairs[0][0]:
        return pairs[0][1]
    for (begin, low), (end, high) in itertools.pairwise(pairs):
        if t < end:
            part = Fraction(t - begin, end - begin)
            return low if kind == "constant" else line(low, high, part, kind)
    return pairs[-1][1]


def triangular(t, base, most, up, down, mode, gamma):
    down = down or up
    cycle, place = divmod(t, up + down)
    part = Fraction(place, up) if place <= up else 1 - Fraction(place - up, down)
    scale = {"triangular": 1, "triangular2": 0.5**cycle, "exp_range": float(gamma) ** t}
    return base + (most - base) * part * Fraction(scale[mode])


def trapezoid(t, most, warmup, stable, decay, kind, least):
    if t < warmup:
        return most * Fraction(t, warmup)
    part = clamp(Fraction(t - warmup - stable, decay))
    if kind == "1-sqrt":
        return float(least) + float(most - least) * (1 - math.sqrt(part))
    return line(most, least, part, kind)


def warmup(t, schedule, rise, initial, mode):
    if t >= rise:
        return exact(schedule, t - rise)
    return line(initial, exact(schedule, 0), Fraction(t, rise), mode)


def join(t, parts, boundaries):
    begun = sum(boundary <= t for boundary in boundaries)
    return exact(parts[begun], t - (0, *boundaries)[begun])


DEFINITIONS = {
    CosineAnnealing: cosine_annealing,
    CosineRestarts: cosine_restarts,
    InverseSqrtDecay: inverse_sqrt,
    Join: join,
    LinearDecay: lambda t, r, over, end: line(r, end, clamp(Fraction(t, over))),
    MultiStepDecay: lambda t, r, bs, f: r * f ** sum(b <= t for b in bs),
    OneCycle: one_cycle,
    OneCycleMomentum: one_cycle_momentum,
    Piecewise: points,
    Scaled: lambda t, schedule, factor: exact(schedule, t) * factor,
    Slowed: lambda t, schedule, factor: exact(schedule, t // factor),
    StepDecay: lambda t, r, f, every: float(r) * float(f) ** (t // every),
    TimeBasedDecay: lambda t, r, decay, every: r / (1 + decay * (t - t % every)),
    Triangular: triangular,
    Warmup: warmup,
    WarmupStableDecay: trapezoid,
}


def marks(schedule):
    """Returns the steps where something begins or ends."""
    if isinstance(schedule, float):
        return [0]
    told = [getattr(schedule, f.name) for f in dataclasses.fields(schedule)]
    lengths = [part for part in told if type(part) is int]
    lengths += getattr(schedule, "boundaries", ())
    lengths += [step for step, _ in getattr(schedule, "points", ())]
    found = [*lengths, *itertools.accumulate(lengths)]
    if hasattr(schedule, "pct_start"):
        found += [int(schedule.pct_start * schedule.total_steps) * k for k in (1, 2)]
    if isinstance(schedule, CosineRestarts):
        cycles = restarts(schedule.first_cycle_steps, Fraction(schedule.cycle_factor))
        found += [end for _, end in itertools.islice(cycles, 40) if end < 10**7]
    return found


@pytest.mark.parametrize("kind", ANY)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_is_what_it_is_defined_to_be(kind, data):
    schedule = data.draw(ANY[kind])
    near = {m + d for m in marks(schedule) for d in (-1, 0, 1) if 0 <= m + d < 2**31}
    near = data.draw(st.permutations(sorted(near)))[: PROBES - 8]
    most = 4 * max([*near, 3])
    anywhere = st.lists(st.integers(0, most), min_size=PROBES, max_size=PROBES)
    at = [0, *near, *data.draw(anywhere)][:PROBES]
    got = schedules.values(schedule, np.array(at))
    expected = [float(exact(schedule, step)) for step in at]
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-37)


def test_every_schedule_has_a_definition():
    public = {getattr(schedules, name) for name in schedules.__all__}
    classes = {entry for entry in public if isinstance(entry, type)}
    assert set(DEFINITIONS) == classes - {schedules.Schedule}


UP_THEN_DOWN = [
    "cosine annealing",
    "inverse square root",
    "multi-step",
    "one cycle",
    "one cycle, any start",
    "step",
    "time",
    "trapezoid",
]


@pytest.mark.parametrize("kind", UP_THEN_DOWN)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_goes_up_to_its_peak_and_down_to_its_end_within_its_bounds(kind, data):
    schedule = data.draw(ANY[kind])
    most = 2 * max([*marks(schedule), 3])
    anywhere = st.lists(st.integers(0, most), min_size=PROBES // 2, max_size=PROBES // 2)
    at = sorted(step + d for step in data.draw(anywhere) for d in (0, 1))
    got = schedules.values(schedule, np.array(at))
    peak, ulp = int(np.argmax(got)), np.spacing(got.max())
    assert (np.diff(got[: peak + 1]) >= -ulp).all()
    assert (np.diff(got[peak:]) <= ulp).all()
    told = [getattr(schedule, f.name) for f in dataclasses.fields(schedule)]
    assert 0 <= got.min() <= got.max() <= np.float32(told[0]) + ulp


@pytest.mark.parametrize("kind", ["cosine annealing", "one cycle", "trapezoid", "linear"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_does_not_jump_past_its_end(kind, data):
    schedule = data.draw(ANY[kind])
    end = sum(step for step in marks(schedule)[:3] if step) + 1
    past = data.draw(st.lists(st.integers(end, 2**31 - 1), min_size=9, max_size=9))
    last = getattr(schedule, "total_steps", end) - (kind == "one cycle")
    got = schedules.values(schedule, np.array([last, *past]))
    assert len(set(got.tolist())) == 1


def test_restarts_are_at_the_right_step_up_to_ten_million():
    """Cases in which Keras's own schedule is a step off, and all the others."""
    for first, factor in itertools.product((1, 7, 1000), (1.3, 1.5, 2.0)):
        cycles = restarts(first, Fraction(factor))
        ends = [end for _, end in itertools.takewhile(lambda c: c[1] <= 10**7, cycles)]
        rate = CosineRestarts(1.0, first, cycle_factor=factor)
        lengths = np.diff([0, *ends])
        ends = np.resize(ends, 64)
        before, at = schedules.values(rate, ends[:, None] + [-1, 0]).T
        assert (at == 1.0).all()
        assert (before[: len(lengths)][lengths > 1] < 0.6).all()
    off_by_one = [(500, 1.3, 1150), (10, 2.0, 81910)]
    for first, factor, step in off_by_one:
        theirs = keras.optimizers.schedules.CosineDecayRestarts(1.0, first, t_mul=factor)
        rate = CosineRestarts(1.0, first, cycle_factor=factor)
        assert rate(step) == 1.0
        assert rate(step - 1) < 1e-4
        if keras.backend.backend() == "tensorflow":
            assert theirs(step) < 0.9


def test_steps_above_two_to_the_24_are_told_apart():
    late = Piecewise([(2**24, 0), (2**24 + 8, 8), (2**30, 8)])
    steps = np.arange(2**24, 2**24 + 9)
    assert schedules.values(late, steps).tolist() == list(range(9))
    drops = StepDecay(1.0, 0.5, 2**24 + 1)
    assert schedules.values(drops, steps[:2]).tolist() == [1.0, 0.5]
    waves = Triangular(0, 8, 8)
    assert schedules.values(waves, steps).tolist() == list(range(9))
    restarts = CosineRestarts(1, 2**24 + 1, cycle_factor=1)
    assert schedules.values(restarts, steps[:2]).tolist()[1] == 1.0


def test_a_factor_near_one_does_not_drift_over_a_hundred_thousand_drops():
    rate = StepDecay(1.0, 0.9999, 1)
    at = np.array([10, 1000, 100_000, 500_000])
    np.testing.assert_allclose(schedules.values(rate, at), 0.9999**at, rtol=1e-6)
    rate, at = StepDecay(1.0, 1 - 1e-8, 1), np.array([5_000_000, 2_000_000_000])
    np.testing.assert_allclose(schedules.values(rate, at), (1 - 1e-8) ** at, rtol=1e-6)

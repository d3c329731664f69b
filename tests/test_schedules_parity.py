"""Step by step beside the schedulers people come from, over the run and past its end."""

import math

import keras
import numpy as np
import pytest

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
    Triangular,
    Warmup,
    WarmupStableDecay,
)

pytestmark = pytest.mark.every_backend


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="parity with PyTorch needs torch")


@pytest.fixture
def optax():
    return pytest.importorskip("optax", reason="parity with optax needs optax")


def assert_equal(schedule, expected, **tolerance):
    got = schedules.values(schedule, 2000)[: len(expected)]
    np.testing.assert_allclose(got, expected, **{"rtol": 1e-6, **tolerance})


def by_torch(torch, steps, kind, rate=0.7, momentum=0.9, **arguments):
    """Returns the rates, and the momenta, that PyTorch makes each update with."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], rate, momentum=momentum)
    scheduler = getattr(torch.optim.lr_scheduler, kind)(optimizer, **arguments)
    seen = []
    for step in range(steps):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group["momentum"]))
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return np.array(seen).T


@pytest.mark.parametrize("total_steps", [1, 2, 3, 7, 10, 99, 1000])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal", ["cosine", "linear"])
def test_one_cycle(torch, total_steps, three_phase, anneal):
    strategy = {"cosine": "cos", "linear": "linear"}[anneal]
    for pct_start in (0.0, 0.1, 0.3, 0.47, 0.5) + (0.9, 1.0) * (not three_phase):
        shape = dict(pct_start=pct_start, three_phase=three_phase)
        theirs = dict(shape, total_steps=total_steps, anneal_strategy=strategy)
        try:
            rates, momenta = by_torch(
                torch, total_steps, "OneCycleLR", max_lr=0.7, **theirs
            )
        except ZeroDivisionError:
            continue
        assert_equal(OneCycle(0.7, total_steps, anneal=anneal, **shape), rates)
        assert_equal(OneCycleMomentum(total_steps, anneal=anneal, **shape), momenta)


def test_where_torch_divides_by_zero_the_cycle_starts_at_its_peak():
    assert schedules.values(OneCycle(1.0, 10, pct_start=0.1), 2)[0] == 1.0


@pytest.mark.parametrize("down", [None, 3, 11])
@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_triangular(torch, mode, down):
    ours = dict(step_size_down=down, mode=mode, gamma=0.999)
    theirs = dict(step_size_up=7, base_lr=0.1, max_lr=0.9, **ours)
    rates, momenta = by_torch(torch, 500, "CyclicLR", **theirs)
    assert_equal(Triangular(0.1, 0.9, 7, **ours), rates)
    assert_equal(Triangular(0.9, 0.8, 7, **ours), momenta)


def test_multi_step(torch):
    milestones = [3, 4, 30]
    rates, _ = by_torch(torch, 60, "MultiStepLR", milestones=milestones, gamma=0.3)
    assert_equal(MultiStepDecay(0.7, milestones, 0.3), rates)


def test_step(torch):
    rates, _ = by_torch(torch, 200, "StepLR", step_size=7, gamma=0.9)
    assert_equal(StepDecay(0.7, 0.9, 7), rates)


def test_exponential_is_a_step_decay_at_every_step(torch):
    rates, _ = by_torch(torch, 2000, "ExponentialLR", gamma=0.997)
    assert_equal(StepDecay(0.7, 0.997, 1), rates)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_cosine_restarts(torch, factor):
    theirs = dict(T_0=7, T_mult=factor, eta_min=0.05)
    rates, _ = by_torch(torch, 700, "CosineAnnealingWarmRestarts", **theirs)
    ours = CosineRestarts(0.7, 7, cycle_factor=factor, min_learning_rate=0.05)
    assert_equal(ours, rates)


def test_cosine_annealing(torch):
    rates, _ = by_torch(torch, 100, "CosineAnnealingLR", T_max=99, eta_min=0.01)
    assert_equal(CosineAnnealing(0.7, 99, min_learning_rate=0.01), rates)


def test_linear(torch):
    theirs = dict(start_factor=1.0, end_factor=0.25, total_iters=40)
    rates, _ = by_torch(torch, 60, "LinearLR", **theirs)
    assert_equal(LinearDecay(0.7, 40, end_learning_rate=0.175), rates)


def test_scheduler_stepped_once_an_epoch(torch):
    rates, _ = by_torch(torch, 12, "CosineAnnealingLR", T_max=12)
    ours = Slowed(CosineAnnealing(0.7, 12), 5)
    assert_equal(ours, np.repeat(rates, 5), atol=1e-12)


def by_optax(schedule, steps):
    """Optax works in float32; in float64 where it takes NumPy steps."""
    return np.array([float(schedule(step)) for step in range(steps)])


def test_join(optax):
    parts = optax.linear_schedule(0.2, 0.8, 10), optax.cosine_decay_schedule(0.8, 30)
    joined = optax.join_schedules([*parts, optax.constant_schedule(0.1)], [10, 45])
    rise = LinearDecay(0.2, 10, end_learning_rate=0.8)
    ours = Join([rise, CosineAnnealing(0.8, 30), 0.1], [10, 45])
    assert_equal(ours, by_optax(joined, 60), atol=1e-7)


def test_warmup_cosine(optax):
    theirs = optax.warmup_cosine_decay_schedule(0.1, 0.8, 20, 100, end_value=0.05)
    cosine = CosineAnnealing(0.8, 80, min_learning_rate=0.05)
    ours = Warmup(cosine, 20, initial_learning_rate=0.1)
    assert_equal(ours, by_optax(theirs, 130), atol=1e-7)


def test_sgdr(optax):
    cycles = [
        dict(init_value=0.0, peak_value=0.8 / 2**i, warmup_steps=3, decay_steps=10 * 2**i)
        for i in range(4)
    ]
    ours = Join(
        [Warmup(CosineAnnealing(0.8 / 2**i, 10 * 2**i - 3), 3) for i in range(4)],
        [10, 30, 70],
    )
    assert_equal(ours, by_optax(optax.sgdr_schedule(cycles), 150), atol=1e-7)


@pytest.mark.parametrize("interpolation", ["linear", "cosine"])
def test_piecewise_interpolated(optax, interpolation):
    scales = {10: 0.5, 25: 4.0, 40: 0.1}
    theirs = optax.piecewise_interpolate_schedule(interpolation, 0.8, scales)
    points = [(0, 0.8), (10, 0.4), (25, 1.6), (40, 0.16)]
    ours = Piecewise(points, interpolation=interpolation)
    assert_equal(ours, by_optax(theirs, 60), atol=1e-7)


def test_piecewise_constant(optax):
    theirs = optax.piecewise_constant_schedule(0.8, {10: 0.5, 25: 0.1})
    points = [(0, 0.8), (10, 0.4), (25, 0.04)]
    ours = Piecewise(points, interpolation="constant")
    assert_equal(ours, by_optax(theirs, 40))
    changes = np.flatnonzero(np.diff(schedules.values(ours, 40))) + 1
    assert changes.tolist() == [10, 25]


def test_linear_scaled(optax):
    theirs = optax.linear_schedule(0.8, 0.2, 30)
    ours = Scaled(LinearDecay(0.4, 30, end_learning_rate=0.1), 2)
    assert_equal(ours, by_optax(theirs, 40))


STOCK = keras.optimizers.schedules
HALVES = StepDecay(0.8, 0.5, 10)
INSIDE_STOCK = [
    (
        STOCK.CosineDecay(0.8, 50, alpha=0.25),
        CosineAnnealing(0.8, 50, min_learning_rate=0.2),
    ),
    (
        STOCK.CosineDecay(0.0, 40, warmup_target=0.8, warmup_steps=10),
        Warmup(CosineAnnealing(0.8, 40), 10),
    ),
    (STOCK.ExponentialDecay(0.8, 10, 0.5, staircase=True), HALVES),
    (STOCK.PolynomialDecay(0.8, 50, 0.1), LinearDecay(0.8, 50, end_learning_rate=0.1)),
    (
        STOCK.CosineDecayRestarts(0.8, 10, t_mul=2.0, m_mul=0.5, alpha=0.125),
        CosineRestarts(0.8, 10, max_factor=0.5, min_learning_rate=0.1),
    ),
    (
        STOCK.PiecewiseConstantDecay([9, 29], [0.8, 0.4, 0.2]),
        MultiStepDecay(0.8, [10, 30], 0.5),
    ),
]


@pytest.mark.parametrize("stock, ours", INSIDE_STOCK, ids=lambda s: type(s).__name__)
def test_stock_keras_where_it_is_right(stock, ours):
    assert_equal(ours, schedules.values(stock, 68), rtol=2e-6, atol=2e-7)


# What README says of libraries that are not installed here, by their own formulas:
# a rate of 0.8, a warm-up of 20 and 100 steps in all, at the step about to be made.
WARMUP, TOTAL = 20, 100


def part(step):
    return (step - WARMUP) / (TOTAL - WARMUP)


def warmed(step, after):
    return 0.8 * (step / WARMUP if step < WARMUP else after)


def half_wave(turns):
    return (1 + math.cos(math.pi * turns)) / 2


THEIRS = {
    "transformers constant with warm-up": (
        lambda t: warmed(t, 1),
        Warmup(0.8, 20),
    ),
    "transformers linear": (
        lambda t: warmed(t, max(0, TOTAL - t) / (TOTAL - WARMUP)),
        Warmup(LinearDecay(0.8, 80), 20),
    ),
    "transformers cosine": (
        lambda t: warmed(t, half_wave(min(1, part(t)))),
        Warmup(CosineAnnealing(0.8, 80), 20),
    ),
    "transformers cosine with hard restarts": (
        lambda t: warmed(t, half_wave(4 * part(t) % 1) if t < TOTAL else 0),
        Warmup(CosineAnnealing(0.8, 80, cycles=4), 20),
    ),
    "transformers inverse square root, one step ahead": (
        lambda t: 0.8 * (t + 1) / 20 if t < 19 else 0.8 * math.sqrt(20 / (t + 1)),
        InverseSqrtDecay(0.8, 20),
    ),
    "transformers warm-up, stable, decay": (
        lambda t: warmed(t, 1 if t < 60 else half_wave(min(1, (t - 60) / 40))),
        WarmupStableDecay(0.8, 20, 40, 40, decay="cosine"),
    ),
    "fastai flat, then cosine": (
        lambda t: (
            0.8 if t < 75 else 8e-6 + (0.8 - 8e-6) * half_wave(min(1, (t - 75) / 25))
        ),
        WarmupStableDecay(0.8, 0, 75, 25, decay="cosine", end_learning_rate=8e-6),
    ),
    "timm cosine with a warm-up prefix, by epochs": (
        lambda t: warmed(t // 10 * 10, half_wave(min(1, part(t // 10 * 10)))),
        Slowed(Warmup(CosineAnnealing(0.8, 8), 2), 10),
    ),
    "the same on updates": (
        lambda t: warmed(t, half_wave(min(1, part(t)))),
        schedules.in_epochs(Warmup(CosineAnnealing(0.8, 8), 2), 10),
    ),
}


@pytest.mark.parametrize("name", THEIRS)
def test_formulas_of_other_libraries(name):
    theirs, ours = THEIRS[name]
    assert_equal(ours, [theirs(step) for step in range(130)], atol=1e-12)

"""The finder measures true batch losses and leaves no trace."""

import keras
import numpy as np
import pytest
from keras import layers
from reference import X, Y, arrays, gradients, make_model, train

from keras_sched import LearningRateCurve, _random, find_learning_rate

pytestmark = pytest.mark.every_backend

IMAGES = np.random.default_rng(1).normal(size=(96, 6, 6, 1)).astype("float32")
LABELS = (IMAGES.sum((1, 2, 3)) > 0).astype("int32")


def make_network(optimizer=None, **compiled):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=2),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], **compiled)
    return model


def fit(model, **arguments):
    keras.utils.set_random_seed(5)
    return model.fit(IMAGES, LABELS, batch_size=16, verbose=0, **arguments)


def test_losses_are_those_of_each_batch_at_each_rate():
    model = make_model(built={"learning_rate": 0.1})
    weights = model.get_weights()[0].astype("float64")
    limits = dict(min_learning_rate=1e-3, max_learning_rate=0.1, steps=16)
    curve = find_learning_rate(model, X, Y, batch_size=8, shuffle=False, **limits)
    expected = []
    for step, rate in enumerate(np.logspace(-3, -1, 16)):
        rows = slice(8 * step, 8 * step + 8)
        expected.append(np.mean((X[rows] @ weights - Y[rows]) ** 2))
        weights = weights - rate * gradients(weights, step)
    np.testing.assert_allclose(curve.learning_rates, np.logspace(-3, -1, 16), rtol=1e-6)
    np.testing.assert_allclose(curve.losses, expected, rtol=1e-4)
    assert curve.stop_reason == "finished"


class OwnStep(keras.Model):
    """A model whose training step keeps a running mean of its own."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1, use_bias=False)
        self.dense.build((None, 3))

    def call(self, x):
        return self.dense(x)

    def train_step(self, *arguments):
        return super().train_step(*arguments)


def test_a_model_with_a_train_step_of_its_own_reports_batch_losses_too():
    model, plain = OwnStep(), make_model(built={"learning_rate": 0.1})
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.dense.set_weights(plain.get_weights())
    sweep = dict(steps=16, batch_size=8, shuffle=False, max_learning_rate=0.01)
    expected = find_learning_rate(plain, X, Y, **sweep).losses
    got = find_learning_rate(model, X, Y, **sweep).losses
    np.testing.assert_allclose(got, expected, rtol=1e-5)


OPTIMIZERS = [
    lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 100)),
    lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.01)),
]
if keras.backend.backend() != "jax":  # Keras 3.15.1 itself fails there in `fit`.
    OPTIMIZERS.append(lambda: keras.optimizers.SGD(0.1, use_ema=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_array_is_bit_identical_afterwards_and_so_is_the_next_fit(optimizer):
    model, plain = make_network(optimizer()), make_network(optimizer())
    fit(model)
    fit(plain)
    before, compiled = arrays(model), model.train_function
    history, chance = model.history, _random.state()
    find_learning_rate(model, IMAGES, LABELS, steps=20, batch_size=16)
    assert_identical(arrays(model), before)
    assert model.train_function is compiled
    assert model.history is history
    assert _random.state() == chance
    fit(model)
    fit(plain)
    assert_identical(arrays(model), arrays(plain))


def test_a_model_never_trained_trains_as_if_it_had_not_been_looked_at():
    model, plain = make_network(), make_network()
    find_learning_rate(model, IMAGES, LABELS, steps=20, batch_size=16)
    # Keras draws from the global generators when it first builds, on JAX and torch.
    assert fit(model, shuffle=False).history == fit(plain, shuffle=False).history
    assert_identical(arrays(model), arrays(plain))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_breaks_off_the_sweep_leaves_no_trace_either(error):
    def batches():
        yield from ((IMAGES[:16], LABELS[:16]) for _ in range(3))
        raise error("stop")

    model, plain = make_network(), make_network()
    fit(model)
    fit(plain)
    before = arrays(model)
    with pytest.raises((error, Exception), match="stop"):
        find_learning_rate(model, batches(), steps=20)
    assert_identical(arrays(model), before)
    fit(model)
    fit(plain)
    assert_identical(arrays(model), arrays(plain))


def test_steps_per_execution_is_one_for_the_sweep_alone():
    if keras.backend.backend() == "torch":
        return
    model = make_network(steps_per_execution=4)
    curve = find_learning_rate(
        model, IMAGES, LABELS, steps=6, batch_size=16, max_learning_rate=1e-3
    )
    assert len(curve.losses) == 6
    assert model.steps_per_execution == 4


def test_short_data_are_gone_through_again():
    curve = find_learning_rate(
        make_network(), IMAGES, LABELS, steps=50, batch_size=48, max_learning_rate=1e-3
    )
    assert (len(curve.losses), curve.stop_reason) == (50, "finished")


def test_a_generator_that_ends_is_no_divergence():
    batches = ((IMAGES[:16], LABELS[:16]) for _ in range(5))
    curve = find_learning_rate(make_network(), batches, steps=50)
    assert (len(curve.losses), curve.stop_reason) == (5, "data ran out")
    assert curve.suggest() is None
    assert curve.reason == "too few points: 5 finite losses, 10 needed"


def test_stops_when_the_loss_runs_away():
    model = make_model(built={"learning_rate": 0.1})
    curve = find_learning_rate(model, X, Y, batch_size=8, max_learning_rate=1e3)
    assert curve.stop_reason in ("diverged", "not finite")
    assert curve.losses[-1] > 4 * curve.losses[:10].max()
    assert len(curve.losses) < 100


def test_sees_a_loss_that_is_not_finite():
    model = make_model(built={"learning_rate": 0.1})
    spoilt = X.copy()
    spoilt[100] = np.nan
    curve = find_learning_rate(
        model, spoilt, Y, batch_size=8, shuffle=False, max_learning_rate=1e-3
    )
    assert (len(curve.losses), curve.stop_reason) == (13, "not finite")


def test_the_rate_in_the_optimizer_is_not_touched():
    model = make_model(built={"learning_rate": 0.125, "momentum": 0.5})
    find_learning_rate(model, X, Y, steps=10, batch_size=8)
    assert float(model.optimizer.learning_rate) == 0.125
    assert np.isfinite(train(model)).all()


def sigmoid_fall(steepest, minimum, noise=0.0, points=100):
    """A loss that falls from 2.3, fastest at one rate, and explodes after another."""
    rates = np.logspace(-7, 1, points)
    position = np.log10(rates / steepest)
    losses = 2.3 - 1.8 / (1 + np.exp(-4 * position)) + (rates / minimum / 3) ** 4
    losses = losses + noise * np.random.default_rng(0).normal(size=points)
    stop = np.flatnonzero(losses > 9)[:1]
    stop = stop[0] if stop.size else points
    return LearningRateCurve(rates[:stop], losses[:stop], "diverged")


@pytest.mark.parametrize("steepest", [1e-4, 3e-3, 0.05])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_suggests_where_the_loss_falls_fastest(steepest, noise):
    rate = sigmoid_fall(steepest, minimum=40 * steepest, noise=noise).suggest()
    assert steepest / 1.6 < rate < steepest * 1.6


@pytest.mark.parametrize(
    "losses, reason",
    [
        (np.ones(50), "flat: the loss does not fall by more than its noise"),
        (np.random.default_rng(0).normal(size=99), "flat|falling fastest at the"),
        (np.linspace(2, 3, 50), "flat"),
        (2 - np.linspace(0, 1, 50) ** 8, "falling fastest at the last rates: raise"),
        (2 - np.linspace(0, 1, 50) ** 0.1, "falling fastest at the first rates"),
        (np.full(50, np.nan), "too few points: 0 finite losses"),
        (np.array([]), "too few points: 0 finite losses"),
    ],
)
def test_gives_no_rate_but_a_reason_where_the_curve_carries_none(losses, reason):
    curve = LearningRateCurve(np.logspace(-7, 1, len(losses)), losses, "finished")
    assert curve.suggest() is None
    assert any(curve.reason.startswith(part) for part in reason.split("|"))
    assert f"no suggestion: {curve.reason}" in repr(curve)


def test_a_curve_with_a_suggestion_has_no_reason_to_give():
    curve = sigmoid_fall(3e-3, 0.12)
    assert curve.reason is None
    assert "diverged, suggests 0.0028" in repr(curve)


def test_comes_back_from_csv_with_all_digits(tmp_path):
    curve = sigmoid_fall(3e-3, 0.12, noise=0.1)
    curve.to_csv(tmp_path / "curve.csv")
    again = LearningRateCurve.from_csv(tmp_path / "curve.csv")
    assert np.array_equal(again.learning_rates, curve.learning_rates)
    assert np.array_equal(again.losses, curve.losses)
    assert again.stop_reason == "diverged"


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"min_learning_rate": 0}, "`min_learning_rate` of find_learning_rate must be"),
        (
            {"max_learning_rate": 1e-8},
            "`max_learning_rate` .* be above min_learning_rate",
        ),
        (
            {"steps": 1},
            "`steps` of find_learning_rate must be an integer of at least 2",
        ),
        ({"divergence_factor": 1}, "`divergence_factor` .* must be above 1"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        find_learning_rate(None, None, **arguments)


def test_a_model_that_is_not_compiled_is_refused():
    with pytest.raises(
        ValueError, match="`model` of find_learning_rate must be compiled"
    ):
        find_learning_rate(keras.Sequential(), X, Y)


def test_a_method_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="`method` .* must be one of 'steepest'"):
        sigmoid_fall(3e-3, 0.12).suggest("best")


def assert_identical(got, expected):
    assert len(got) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(got, expected))

"""The finder measures true batch losses and leaves no trace."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from reference import SGD, X, Y, arrays, gradients, make_model, train

from keras_sched import LearningRateCurve, _random, callbacks, find_learning_rate
from keras_sched.learning_rate_finder import METHODS

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


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
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


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]


def dataset():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


def loader():
    torch = pytest.importorskip("torch", reason="a DataLoader needs torch")
    pairs = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return torch.utils.data.DataLoader(pairs, batch_size=8)


SOURCES = {
    "tf.data": dataset,
    "endless tf.data": lambda: dataset().repeat(),
    "PyDataset": Batches,
    "generator": lambda: (
        (X[8 * i : 8 * i + 8], Y[8 * i : 8 * i + 8]) for i in range(16)
    ),
    "DataLoader": loader,
}
SWEEP = dict(steps=16, min_learning_rate=1e-3, max_learning_rate=0.1, shuffle=False)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_losses_are_the_same_wherever_the_batches_come_from(source):
    expected = find_learning_rate(make_model(), X, Y, batch_size=8, **SWEEP)
    curve = find_learning_rate(make_model(), source(), **SWEEP)
    np.testing.assert_allclose(curve.losses, expected.losses, rtol=1e-5)
    assert curve.stop_reason == "finished"


def test_takes_models_with_inputs_by_name_and_several_outputs():
    def two_headed():
        keras.utils.set_random_seed(2)
        left, right = keras.Input((1,), name="left"), keras.Input((2,), name="right")
        both = layers.Dense(4)(layers.Concatenate()([left, right]))
        outputs = {"sum": layers.Dense(1, name="sum")(both), "top": layers.Dense(1)(both)}
        model = keras.Model({"left": left, "right": right}, outputs)
        model.compile("sgd", {"sum": "mse", "top": "mse"}, metrics={"sum": "mae"})
        return model

    model, inputs = two_headed(), {"left": X[:, :1], "right": X[:, 1:]}
    targets = {"sum": Y, "top": X.max(1, keepdims=True)}
    before = model.get_weights()
    curve = find_learning_rate(model, inputs, targets, batch_size=8, **SWEEP)
    assert_identical(model.get_weights(), before)
    first = slice(0, 8)
    loss = two_headed().evaluate(
        {name: part[first] for name, part in inputs.items()},
        {name: part[first] for name, part in targets.items()},
        verbose=0,
    )[0]
    assert curve.losses[0] == pytest.approx(loss, rel=1e-5)


def test_sample_weights_and_class_weights_count():
    plain = find_learning_rate(make_network(), IMAGES, LABELS, batch_size=16, **SWEEP)
    doubled = find_learning_rate(
        make_network(),
        IMAGES,
        LABELS,
        sample_weight=np.full(96, 2.0),
        batch_size=16,
        **SWEEP,
    )
    by_class = find_learning_rate(
        make_network(),
        IMAGES,
        LABELS,
        class_weight={0: 2.0, 1: 2.0},
        batch_size=16,
        **SWEEP,
    )
    assert doubled.losses[0] == pytest.approx(2 * plain.losses[0], rel=1e-5)
    np.testing.assert_allclose(by_class.losses, doubled.losses, rtol=1e-4)


def test_under_gradient_accumulation_the_rate_is_that_of_the_last_batch():
    built = {"learning_rate": 0.1, "gradient_accumulation_steps": 4}
    model = make_model(built=built)
    weights = model.get_weights()[0].astype("float64")
    curve = find_learning_rate(model, X, Y, batch_size=8, **SWEEP)
    expected, rates = [], np.geomspace(1e-3, 0.1, 16)
    for step in range(16):
        rows = slice(8 * step, 8 * step + 8)
        expected.append(np.mean((X[rows] @ weights - Y[rows]) ** 2))
        if step % 4 == 3:
            parts = [gradients(weights, batch) for batch in range(step - 3, step + 1)]
            weights = weights - rates[step] * np.mean(parts, axis=0)
    np.testing.assert_allclose(curve.losses, expected, rtol=1e-4)


WAYS = {
    "eagerly": lambda: make_network(run_eagerly=True),
    "with jit": lambda: make_network(jit_compile=True),
    "with frozen layers": lambda: frozen(make_network()),
    "in mixed precision": lambda: mixed(),
}


def frozen(model):
    model.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.1), model.loss)
    return model


def mixed():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return make_network()
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_leaves_no_trace_however_the_model_is_run(make):
    model, plain = make(), make()
    fit(model)
    fit(plain)
    before = arrays(model)
    curve = find_learning_rate(model, IMAGES, LABELS, batch_size=16, **SWEEP)
    assert len(curve.losses) == 16
    assert_identical(arrays(model), before)
    fit(model)
    fit(plain)
    assert_identical(arrays(model), arrays(plain))


def test_repeats_start_alike_take_other_orders_and_give_the_mean():
    model = make_model()
    before = model.get_weights()
    sweep = SWEEP | dict(batch_size=8, shuffle=True, repeats=3)
    curve = find_learning_rate(model, X, Y, **sweep)
    assert_identical(model.get_weights(), before)
    losses = np.array([each.losses for each in curve.repeats])
    assert losses.shape == (3, 16)
    assert len({row[0] for row in losses}) == 3
    np.testing.assert_allclose(curve.losses, losses.mean(axis=0))


def test_the_spread_is_that_of_the_suggestions_of_the_repeats():
    parts = [sigmoid_fall(steepest, 0.1) for steepest in (2e-3, 4e-3, 3e-3)]
    curve = LearningRateCurve(*dataclasses.astuple(parts[2])[:3], repeats=tuple(parts))
    assert curve.spread() == (parts[0].suggest(), parts[1].suggest())
    assert parts[0].spread() is None
    assert f"0.0028  ({curve.spread()[0]:.2g} to {curve.spread()[1]:.2g})" in repr(curve)


def test_each_weight_decay_has_a_curve_of_its_own():
    model = make_model(built={"learning_rate": 0.1, "weight_decay": 0.5})
    start = model.get_weights()[0].astype("float64")
    decays = (0, 0.3, 3.0)
    curves = find_learning_rate(model, X, Y, batch_size=8, weight_decays=decays, **SWEEP)
    assert list(curves) == [0, 0.3, 3.0]
    for decay, curve in curves.items():
        weights, expected = start, []
        for step, rate in enumerate(np.geomspace(1e-3, 0.1, 16)):
            rows = slice(8 * step, 8 * step + 8)
            expected.append(np.mean((X[rows] @ weights - Y[rows]) ** 2))
            gradient = gradients(weights, step)
            weights = weights * (1 - decay * rate) - rate * gradient
        np.testing.assert_allclose(curve.losses, expected, rtol=1e-4)
    assert model.optimizer.weight_decay == 0.5


def test_the_callback_finds_the_same_and_leaves_no_trace():
    expected = find_learning_rate(make_model(), X, Y, batch_size=8, **SWEEP)
    model, plain = make_model(), make_model()
    train(model)
    train(plain)
    before, compiled = arrays(model), model.train_function
    limits = {name: value for name, value in SWEEP.items() if name != "shuffle"}
    finder = callbacks.LearningRateFinder(**limits)
    train(model, callbacks=[finder], epochs=5)
    np.testing.assert_allclose(finder.curve.learning_rates, expected.learning_rates)
    assert finder.curve.stop_reason == "finished"
    assert_identical(arrays(model), before)
    assert model.train_function is compiled
    assert np.array_equal(train(model), train(plain))


def test_the_callback_in_a_fit_that_is_too_short_has_found_what_there_was():
    finder = callbacks.LearningRateFinder(steps=100)
    train(make_model(), callbacks=[finder])
    assert (len(finder.curve.losses), finder.curve.stop_reason) == (16, "data ran out")


def test_a_callback_that_was_interrupted_drives_nothing_any_more():
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = make_model()
    with pytest.raises(KeyboardInterrupt):
        train(model, callbacks=[callbacks.LearningRateFinder(), Interrupt()])
    model.set_weights(make_model().get_weights())
    fresh = make_model()
    model.compile(keras.optimizers.SGD(**SGD), "mse")
    assert np.array_equal(train(model), train(fresh))


def test_the_callback_refuses_losses_of_several_batches():
    if keras.backend.backend() == "torch":
        return
    model = make_model(steps_per_execution=2)
    with pytest.raises(ValueError, match="`steps_per_execution` of LearningRateFinder"):
        train(model, callbacks=[callbacks.LearningRateFinder()])
    with pytest.raises(ValueError, match="`steps` of LearningRateFinder must be an int"):
        callbacks.LearningRateFinder(steps=0)


def test_shows_a_bar_with_the_rate_and_the_loss(capsys):
    curve = find_learning_rate(make_model(), X, Y, batch_size=8, **SWEEP)
    shown = capsys.readouterr().out
    assert "16/16 rate 1.00e-01, loss" in shown
    assert f"{curve.losses[-1]:.4g}: finished" in shown
    find_learning_rate(make_model(), X, Y, batch_size=8, verbose=0, **SWEEP)
    assert capsys.readouterr().out == ""


def test_short_data_are_gone_through_again():
    curve = find_learning_rate(
        make_network(), IMAGES, LABELS, steps=50, batch_size=48, max_learning_rate=1e-3
    )
    assert (len(curve.losses), curve.stop_reason) == (50, "finished")


def test_a_generator_that_ends_is_no_divergence(capsys):
    batches = ((IMAGES[:16], LABELS[:16]) for _ in range(5))
    curve = find_learning_rate(make_network(), batches, steps=50)
    assert (len(curve.losses), curve.stop_reason) == (5, "data ran out")
    assert curve.suggest() is None
    assert curve.reason == "too few points: 5 finite losses, 10 needed"
    assert f"{curve.losses[-1]:.4g}: data ran out" in capsys.readouterr().out


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


def test_sees_a_small_fall_that_large_losses_follow():
    rng = np.random.default_rng(0)
    losses = 2.3 + 0.01 * rng.normal(size=100)
    losses[60:75] -= np.linspace(0, 0.45, 15) ** 2  # Fastest at its end.
    losses[75:] += rng.choice([0.3, 3.0, 17.0], size=25)
    curve = LearningRateCurve(np.logspace(-7, 1, 100), losses, "finished")
    assert 67 < np.searchsorted(curve.learning_rates, curve.suggest()) <= 75


def test_does_not_take_noise_for_a_fall_nor_a_fall_for_noise():
    rates, rng = np.logspace(-7, 1, 100), np.random.default_rng(0)
    noise = rng.normal(size=(200, 100))
    fall = 1.5 / (1 + np.exp(-4 * np.log10(rates / 3e-3)))

    def suggested(losses):
        curves = [LearningRateCurve(rates, row, "finished") for row in losses]
        return [rate for curve in curves if (rate := curve.suggest()) is not None]

    assert len(suggested(1 + noise)) <= 10
    found = suggested(2 + 0.3 * noise - fall)
    assert len(found) >= 195
    assert np.median(np.abs(np.log10(np.array(found) / 3e-3))) < 0.25


@pytest.mark.parametrize(
    "losses, reason",
    [
        (np.ones(50), "flat: the loss falls by no more than its noise; repeats lower"),
        (np.random.default_rng(0).normal(size=99), "flat|falling fastest at the"),
        (np.linspace(2, 3, 50), "flat"),
        (2 - np.linspace(0, 1, 50) ** 8, "falling fastest at the last rates: raise"),
        (2 - np.linspace(0, 1, 50) ** 0.1, "falling fastest at the first rates"),
        (np.full(50, np.nan), "not finite at the start"),
        (np.r_[np.linspace(2, 1, 9), np.inf, np.ones(40)], "too few points: 9 finite"),
        (
            2 - np.linspace(0, 1, 60) ** 2 + np.sin(np.arange(60)),
            "periodic: the loss shows the order of the data; shuffle them",
        ),
        (np.array([]), "too few points: 0 finite losses"),
    ],
)
def test_gives_no_rate_but_a_reason_where_the_curve_carries_none(losses, reason):
    curve = LearningRateCurve(np.logspace(-7, 1, len(losses)), losses, "finished")
    assert curve.suggest() is None
    methods = ["steepest"] if "falling" in reason else METHODS
    assert all(curve.suggest(method) is None for method in methods)
    assert any(curve.reason.startswith(part) for part in reason.split("|"))
    assert f"no suggestion: {curve.reason}" in repr(curve)


def fastai_valley(rates, losses):
    """As fastai 2.7 has it, loop by loop."""
    start = end = 0
    lengths = [1] * len(losses)
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i] = lengths[j] + 1
            if lengths[end] < lengths[i]:
                end = i
                start = end - lengths[end]
    third = (end - start) / 3
    return rates[start + int(third) + int(third / 2)]


def fastai_slide(rates, losses):
    slopes, right, left = np.gradient(losses), -1, -16
    found = rates[left]
    while left >= -len(losses) and abs(slopes[right] - slopes[left]) > 0.005:
        found = rates[left]
        right, left = right - 1, left - 1
    return found


def fastai_minimum(rates, losses):
    return rates[losses.argmin()] / 10


FASTAI = {"valley": fastai_valley, "slide": fastai_slide, "minimum": fastai_minimum}


@pytest.mark.parametrize("method", FASTAI)
def test_the_methods_of_fastai_give_its_rates_for_equal_losses(method):
    suggested = set()
    for steepest in np.geomspace(1e-4, 0.05, 30):
        for noise in (0.0, 0.05):
            curve = sigmoid_fall(steepest, minimum=40 * steepest, noise=noise)
            rates = curve.learning_rates[: len(curve.smoothed)]
            expected = FASTAI[method](rates, curve.smoothed)
            assert curve.suggest(method) == pytest.approx(expected, rel=1e-12)
            suggested.add(expected)
    assert len(suggested) > 20


def test_a_curve_with_a_suggestion_has_no_reason_to_give():
    curve = sigmoid_fall(3e-3, 0.12)
    assert curve.reason is None
    assert repr(curve).splitlines()[:2] == [
        "LearningRateCurve: 85 rates, 1.0e-07 to 6.1e-01, diverged",
        "  steepest  0.0028",
    ]


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


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"repeats": 0}, "`repeats` of find_learning_rate must be an integer of at"),
        ({"repeats": 2, "shuffle": False}, "`repeats` .* must be 1 without shuffle"),
        ({"weight_decays": ()}, "`weight_decays` .* must be at least one number, or N"),
        ({"weight_decays": ["1"]}, "`weight_decays` .* must be a finite number"),
        ({"weight_decays": [0.1]}, "`weight_decay` of SGD must be a hyperparameter"),
        ({"x": iter([(X, Y)]), "y": None, "repeats": 2}, "`x` .* must be data that can"),
    ],
)
def test_several_sweeps_that_cannot_be_are_refused(arguments, sentence):
    model = make_model()
    with pytest.raises(ValueError, match=sentence):
        find_learning_rate(model, **{"x": X, "y": Y} | arguments)
    assert "apply" not in vars(model.optimizer)


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

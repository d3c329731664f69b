"""Proof by weights that scheduled hyperparameters reach the update."""

import json
import pickle

import keras
import numpy as np
import pytest
from reference import (
    RAMPS,
    STEPS,
    adam,
    as_numpy,
    gradients,
    make_model,
    nesterov,
    rmsprop,
    sgd,
    train,
)

from keras_sched import _fit_loop, schedule_hyperparameters
from keras_sched.hyperparameters import batches_seen, momentum_name

pytestmark = pytest.mark.every_backend

EXECUTIONS = (1,) if keras.backend.backend() == "torch" else (1, 8)


ADAM = {"learning_rate": 0.05, "beta_1": 0.9, "beta_2": 0.99}
ROWS = [
    ("SGD", {"learning_rate": 0.02, "momentum": 0.9}, sgd),
    ("SGD", {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True}, nesterov),
    ("Adam", ADAM, adam),
    ("AdamW", ADAM | {"weight_decay": 0.1}, adam),
    ("RMSprop", {"learning_rate": 0.01, "momentum": 0.5, "rho": 0.9}, rmsprop),
]
CASES = [
    pytest.param(name, built, rule, driven, id=f"{name}-{'nesterov-' * n}{driven}")
    for name, built, rule in ROWS
    for n in [built.get("nesterov", False)]
    for driven in built
    if driven in RAMPS
]


def reference(rule, built, driven, start):
    constants = {"weight_decay": 0.0} | built

    def value(name, step):
        return RAMPS[name](step) if name == driven else constants[name]

    return rule(start.astype("float64"), value)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
@pytest.mark.parametrize("name, built, rule, driven", CASES)
def test_weights_equal_the_update_rule_with_the_ramp(name, built, rule, driven, jit):
    for steps_per_execution in EXECUTIONS:
        compiled = dict(jit_compile=jit, steps_per_execution=steps_per_execution)
        model = make_model(name, built, **compiled)
        start = model.get_weights()[0]
        schedule_hyperparameters(model.optimizer, **{driven: RAMPS[driven]})
        got = train(model)
        ramped = reference(rule, built, driven, start)
        np.testing.assert_allclose(got, ramped, rtol=2e-5, atol=2e-6)
        constant = reference(rule, built, None, start)
        assert np.abs(got - constant).max() > 1e-3


def test_several_are_driven_at_once_and_eagerly():
    model = make_model(run_eagerly=True)
    start = model.get_weights()[0]
    driven = {name: RAMPS[name] for name in ("learning_rate", "momentum")}
    schedule_hyperparameters(model.optimizer, **driven)
    driven["weight_decay"] = lambda step: 0.0
    expected = sgd(start.astype("float64"), lambda name, step: driven[name](step))
    np.testing.assert_allclose(train(model), expected, rtol=2e-5)


def test_a_learning_rate_schedule_given_to_the_optimizer_is_overruled():
    decay = keras.optimizers.schedules.ExponentialDecay(5.0, 1, 0.5)
    model = make_model(built={"learning_rate": decay, "momentum": 0.9})
    start = model.get_weights()[0]
    handle = schedule_hyperparameters(model.optimizer, learning_rate=0.02)
    built = {"learning_rate": 0.02, "momentum": 0.9}
    expected = reference(sgd, built, None, start)
    np.testing.assert_allclose(train(model), expected, rtol=2e-5)
    handle.remove()
    assert float(model.optimizer.learning_rate) == pytest.approx(5.0 * 0.5**STEPS)


def test_reaches_through_a_loss_scale_optimizer():
    model = make_model()
    inner = model.optimizer
    model.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
    start = model.get_weights()[0]
    schedule_hyperparameters(model.optimizer, momentum=RAMPS["momentum"])
    expected = reference(sgd, ROWS[0][1], "momentum", start)
    np.testing.assert_allclose(train(model), expected, rtol=2e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_reaches_the_weights_of_a_model_in_mixed_precision(policy):
    def trained(**schedules):
        keras.utils.set_random_seed(1)
        layer = keras.layers.Dense(1, use_bias=False, dtype=policy)
        model = keras.Sequential([keras.Input((3,)), layer])
        model.compile(keras.optimizers.SGD(0.02, momentum=0.9), "mse")
        start = model.get_weights()[0]
        schedule_hyperparameters(model.optimizer, **schedules)
        return start, train(model)

    start, got = trained(momentum=RAMPS["momentum"])
    ramped = reference(sgd, ROWS[0][1], "momentum", start)
    constant = reference(sgd, ROWS[0][1], None, start)
    assert np.abs(ramped - constant).max() > 0.3
    np.testing.assert_allclose(got, ramped, atol=0.1)


def test_counts_batches_under_gradient_accumulation():
    built = ROWS[0][1] | {"gradient_accumulation_steps": 4}
    model = make_model(built=built)
    start = model.get_weights()[0].astype("float64")
    schedule_hyperparameters(model.optimizer, learning_rate=RAMPS["learning_rate"])
    velocity, expected = 0.0, start
    for step in (3, 7, 11, 15):
        parts = [gradients(expected, batch) for batch in range(step - 3, step + 1)]
        velocity = 0.9 * velocity - RAMPS["learning_rate"](step) * np.mean(parts, axis=0)
        expected = expected + velocity
    np.testing.assert_allclose(train(model), expected, rtol=2e-5)
    assert batches_seen(model.optimizer) == STEPS


def test_the_offset_moves_the_schedule():
    model = make_model()
    start = model.get_weights()[0]
    schedule_hyperparameters(
        model.optimizer, step_offset=-5, momentum=lambda s: RAMPS["momentum"](s + 5)
    )
    expected = reference(sgd, ROWS[0][1], "momentum", start)
    np.testing.assert_allclose(train(model), expected, rtol=2e-5)


def test_leaves_config_variables_and_pickle_alone():
    model = make_model()
    before = len(model.optimizer.variables)
    config = json.dumps(model.optimizer.get_config())
    schedule_hyperparameters(
        model.optimizer,
        momentum=RAMPS["momentum"],
        learning_rate=RAMPS["learning_rate"],
    )
    assert len(model.optimizer.variables) == before
    assert json.dumps(model.optimizer.get_config()) == config
    assert pickle.loads(pickle.dumps(model.optimizer)).momentum == 0.9


def test_a_model_saved_in_the_middle_is_plain_keras(tmp_path):
    model = make_model()
    schedule_hyperparameters(model.optimizer, momentum=RAMPS["momentum"])
    train(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.optimizer.momentum) is float
    assert again.optimizer.momentum == 0.9
    assert "apply" not in vars(again.optimizer)
    for saved, held in zip(again.optimizer.variables, model.optimizer.variables):
        assert np.array_equal(as_numpy(saved), as_numpy(held))


def test_remove_gives_the_optimizer_back_as_it_was():
    model, plain = make_model(), make_model()
    before = set(vars(model.optimizer))
    with schedule_hyperparameters(model.optimizer, momentum=0.1, learning_rate=0.5):
        assert float(model.optimizer.learning_rate) == 0.5
    assert set(vars(model.optimizer)) == before
    assert np.array_equal(train(model), train(plain))


def test_removing_one_of_two_leaves_the_other():
    model = make_model()
    start = model.get_weights()[0]
    first = schedule_hyperparameters(model.optimizer, learning_rate=5.0)
    second = schedule_hyperparameters(model.optimizer, momentum=RAMPS["momentum"])
    first.remove()
    first.remove()
    expected = reference(sgd, ROWS[0][1], "momentum", start)
    np.testing.assert_allclose(train(model), expected, rtol=2e-5)
    assert repr(second) == "ScheduledHyperparameters(SGD: momentum)"


def test_a_step_compiled_before_is_compiled_anew():
    model = make_model(jit_compile=True)
    start = model.get_weights()
    train(model)
    model.set_weights(start)
    model.optimizer.load_own_variables(_fresh(model.optimizer))
    handle = schedule_hyperparameters(model.optimizer, momentum=RAMPS["momentum"])
    compiled = model.train_function
    model.train_function = compiled
    install = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: _fit_loop.retrace(model, undo=handle.remove)
    )
    expected = reference(sgd, ROWS[0][1], "momentum", start[0])
    np.testing.assert_allclose(train(model, callbacks=[install]), expected, rtol=2e-5)
    _fit_loop.finish(model)
    assert model.train_function is compiled


def _fresh(optimizer):
    held = [as_numpy(variable) for variable in optimizer.variables]
    fresh = {str(i): np.zeros_like(value) for i, value in enumerate(held)}
    return fresh | {"1": held[1]}


@pytest.mark.parametrize(
    "optimizer, name",
    [
        (keras.optimizers.SGD(0.1, momentum=0.9), "momentum"),
        (keras.optimizers.SGD(0.1), None),
        (keras.optimizers.RMSprop(momentum=0.5), "momentum"),
        (keras.optimizers.Adam(), "beta_1"),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW()), "beta_1"),
        (keras.optimizers.Adagrad(), None),
    ],
)
def test_one_cycle_cycles_what_the_optimizer_has(optimizer, name):
    assert momentum_name(optimizer) == name


REFUSED = [
    ("SGD", {}, {"momentum": 0.5}, r"`momentum` of SGD must be .* \(learning_rate, gr"),
    ("Adagrad", {}, {"beta_1": 0.5}, "`beta_1` of Adagrad must be a hyperparameter"),
    ("SGD", {}, {"nesterov": 0.5}, "`nesterov` of SGD must be a hyperparameter"),
    ("Adam", {}, {"beta_1": "0.5"}, "`beta_1` of Adam must be a finite number"),
    ("Adam", {}, {"weight_decay": 0.5}, "`weight_decay` of Adam must be a hyperparam"),
]


@pytest.mark.parametrize("name, built, schedules, sentence", REFUSED)
def test_what_cannot_be_driven_is_refused_by_name(name, built, schedules, sentence):
    optimizer = getattr(keras.optimizers, name)(**built)
    with pytest.raises(ValueError, match=sentence):
        schedule_hyperparameters(optimizer, **schedules)
    assert "apply" not in vars(optimizer)


def test_two_drivers_of_one_hyperparameter_are_refused():
    optimizer = keras.optimizers.Adam()
    schedule_hyperparameters(optimizer, beta_1=0.5)
    with pytest.raises(ValueError, match="`beta_1` of Adam must be free, but is driven"):
        schedule_hyperparameters(optimizer, beta_1=0.6)

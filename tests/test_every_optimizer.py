"""Every optimizer that Keras has, every hyperparameter that can be driven: the weights.

Compiled training under a ramp, beside the optimizer's own rule run by hand, eagerly, with
the constant set before each update; and, where the rule is short, beside NumPy.
"""

import keras
import numpy as np
import pytest
import reference
from keras import ops
from reference import RAMPS, STEPS, as_numpy, drawn, gradients, make_model, train

from keras_sched import schedule_hyperparameters
from keras_sched.hyperparameters import SCHEDULABLE, schedulable

pytestmark = pytest.mark.every_backend

RATE = ("learning_rate", "weight_decay", "gradient_noise")
BETAS = ("beta_1", "beta_2", *RATE)
DRIVEN = {  # README has the same table.
    "Adadelta": ("rho", *RATE),
    "Adafactor": RATE,
    "Adagrad": RATE,
    "Adam": BETAS,
    "AdamW": BETAS,
    "Adamax": BETAS,
    "Ftrl": RATE,
    "Lamb": BETAS,
    "Lion": BETAS,
    "Muon": ("momentum", *RATE),
    "Nadam": BETAS,
    "RMSprop": ("momentum", "rho", *RATE),
    "SGD": ("momentum", *RATE),
    "ScheduleFreeAdamW": ("beta_2", *RATE),
}
WRAPPERS = {"LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "Optimizer"}
BUILT = {"learning_rate": 0.05, "weight_decay": 0.1}
MORE = {
    "Adadelta": {"learning_rate": 1.0},
    "Lion": {"learning_rate": 0.5},
    "Adafactor": {"relative_step": False},
}
CASES = [(name, driven) for name, names in DRIVEN.items() for driven in names]
LONG_RULES = {"Adafactor", "Ftrl", "Muon", "ScheduleFreeAdamW"}
IN_NUMPY = [case for case in CASES if not {*case} & {"gradient_noise", *LONG_RULES}]


def build(name):
    momentum = {"momentum": 0.9} if "momentum" in DRIVEN[name] else {}
    return BUILT | momentum | MORE.get(name, {})


def begin(model):
    """Returns the weights to begin with, of an optimizer built before it is traced.

    Keras builds it while tracing; on TensorFlow, ScheduleFreeAdamW then starts at 0.
    """
    model.optimizer.build(model.trainable_variables)
    return model.get_weights()[0]


def by_hand(name, driven, start, together=1):
    """The optimizer's own rule, eagerly, with the constant set before each update.

    The gradients of so many batches are averaged for an update, made at the last one.
    """
    optimizer = getattr(keras.optimizers, name)(**build(name))
    weights = keras.Variable(start, name="kernel")
    optimizer.build([weights])
    for step in range(together - 1, STEPS, together):
        held, batches = as_numpy(weights).astype("float64"), range(step + 1)[-together:]
        gradient = np.mean([gradients(held, batch) for batch in batches], axis=0)
        for hyperparameter in driven:
            if hyperparameter == "gradient_noise":
                gradient = gradient + RAMPS["gradient_noise"](step) * drawn(step)
            else:
                setattr(optimizer, hyperparameter, RAMPS[hyperparameter](step))
        gradient = ops.convert_to_tensor(gradient.astype("float32"))
        optimizer.apply([gradient], [weights])
    return as_numpy(weights)


@pytest.mark.parametrize("name, driven", CASES)
def test_weights_are_those_of_the_rule_with_the_constant_changed_by_hand(name, driven):
    model = make_model(name, build(name))
    start = begin(model)
    schedule_hyperparameters(model.optimizer, **{driven: RAMPS[driven]})
    got = train(model)
    expected = by_hand(name, [driven], start)
    np.testing.assert_allclose(got, expected, rtol=5e-5, atol=5e-6)
    assert np.abs(expected - by_hand(name, [], start)).max() > 1e-4


AT_ONCE = 1 if keras.backend.backend() == "torch" else 8  # It takes one step at a time.
MANY_STEPS = {"jit_compile": True, "steps_per_execution": AT_ONCE}
COMPILED = [(name, MANY_STEPS, 1) for name in DRIVEN]  # The test above has the defaults.
COMPILED += [  # One code for all optimizers.
    (name, {"jit_compile": jitted}, 4)
    for name in ("AdamW", "Muon", "SGD", "ScheduleFreeAdamW")
    for jitted in (False, True)
]


@pytest.mark.parametrize("name, compiled, together", COMPILED)
def test_all_at_once_are_those_of_the_rule_however_compiled(name, compiled, together):
    accumulation = {"gradient_accumulation_steps": together} if together > 1 else {}
    model = make_model(name, build(name) | accumulation, **compiled)
    start = begin(model)
    schedule_hyperparameters(model.optimizer, **{n: RAMPS[n] for n in DRIVEN[name]})
    got, expected = train(model), by_hand(name, DRIVEN[name], start, together)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name, driven", IN_NUMPY)
def test_weights_are_those_of_the_rule_in_numpy(name, driven):
    rule = getattr(reference, name.lower())
    model = make_model(name, build(name))
    start = begin(model)
    schedule_hyperparameters(model.optimizer, **{driven: RAMPS[driven]})
    held = {n: getattr(model.optimizer, n, None) for n in SCHEDULABLE} | build(name)

    def value(hyperparameter, step):
        if hyperparameter == driven:
            return RAMPS[driven](step)
        return float(held[hyperparameter])

    expected = rule(start.astype("float64"), value)
    np.testing.assert_allclose(train(model), expected, rtol=1e-4, atol=1e-5)


def test_every_optimizer_of_keras_has_its_place():
    offered = vars(keras.optimizers)
    kinds = {n for n, kind in offered.items() if isinstance(kind, type)}
    assert kinds == set(DRIVEN) | WRAPPERS


@pytest.mark.parametrize("name", DRIVEN)
def test_the_table_is_what_the_optimizer_can(name):
    optimizer = getattr(keras.optimizers, name)(**build(name))
    assert set(schedulable(optimizer)) == set(DRIVEN[name])


@pytest.mark.parametrize("name", DRIVEN)
def test_is_driven_inside_a_loss_scale_optimizer(name):
    if (name, keras.backend.backend()) == ("Nadam", "jax"):
        pytest.skip("Keras 3.15 loses Nadam's product of momenta there, driven or not")
    driven = DRIVEN[name][0]
    inner = getattr(keras.optimizers, name)(**build(name))
    model = make_model()
    model.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
    start = begin(model)
    schedule_hyperparameters(model.optimizer, **{driven: RAMPS[driven]})
    expected = by_hand(name, [driven], start)
    np.testing.assert_allclose(train(model), expected, rtol=5e-5, atol=5e-6)


def test_several_optimizers_in_one_are_refused():
    kinds = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1))
    several = keras.optimizers.MultiOptimizer(kinds)
    with pytest.raises(ValueError, match="must be one optimizer; drive each of its `opt"):
        schedule_hyperparameters(several, learning_rate=0.5)

"""The callback that runs a fit as one cycle."""

import keras
import numpy as np
import pytest
from reference import BATCH, SGD, STEPS, X, Y, gradients, make_model, sgd, train

from keras_sched import callbacks, schedules

pytestmark = pytest.mark.every_backend

RATES = schedules.values(schedules.OneCycle(0.05, STEPS), STEPS)
MOMENTA = schedules.values(schedules.OneCycleMomentum(STEPS), STEPS)


def cycled(start, rates=RATES, momenta=MOMENTA):
    none = np.zeros(STEPS)
    driven = {"learning_rate": rates, "momentum": momenta, "weight_decay": none}
    return sgd(start.astype("float64"), lambda name, step: float(driven[name][step]))


@pytest.mark.parametrize("as_list", [True, False])
def test_weights_are_those_of_one_cycle_of_rate_and_momentum(as_list):
    model = make_model()
    start = model.get_weights()[0]
    cycle = callbacks.OneCycle(0.05)
    got = train(model, callbacks=[cycle] if as_list else cycle)
    np.testing.assert_allclose(got, cycled(start), rtol=2e-5)


def test_a_fit_that_another_library_has_replaced_is_driven_too(monkeypatch):
    plain = keras.Model.fit  # Trackers of experiments put theirs there.
    monkeypatch.setattr(
        keras.Model, "fit", lambda self, *args, **how: plain(self, *args, **how)
    )
    model = make_model()
    start = model.get_weights()[0]
    got = train(model, callbacks=[callbacks.OneCycle(0.05)])
    np.testing.assert_allclose(got, cycled(start), rtol=2e-5)


def test_drives_a_model_that_has_been_trained_before():
    model, fresh = make_model(jit_compile=True), make_model(jit_compile=True)
    train(model)
    model.set_weights(fresh.get_weights())
    model.compile(keras.optimizers.SGD(**SGD), "mse", jit_compile=True)
    train(model, epochs=1)
    model.set_weights(fresh.get_weights())
    for variable in model.optimizer.variables[2:]:
        variable.assign(np.zeros(variable.shape))
    got = train(model, callbacks=[callbacks.OneCycle(0.05)])
    expected = train(fresh, callbacks=[callbacks.OneCycle(0.05)])
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_can_leave_the_momentum_alone():
    model = make_model()
    start = model.get_weights()[0]
    got = train(model, callbacks=callbacks.OneCycle(0.05, cycle_momentum=False))
    np.testing.assert_allclose(got, cycled(start, momenta=[0.9] * STEPS), rtol=2e-5)


def test_logs_the_values_of_each_epochs_last_step():
    cycle = callbacks.OneCycle(0.05)
    quarter = dict(batch_size=4 * BATCH, epochs=4, shuffle=False, verbose=0)
    logs = make_model().fit(X, Y, callbacks=[cycle], **quarter).history
    assert logs["learning_rate"] == pytest.approx(RATES[3::4].tolist())
    assert logs["momentum"] == pytest.approx(MOMENTA[3::4].tolist())


def test_each_fit_is_a_cycle_of_its_own():
    model = make_model()
    cycle = callbacks.OneCycle(0.05)
    first = model.fit(X, Y, batch_size=BATCH, verbose=0, callbacks=[cycle]).history
    second = model.fit(X, Y, batch_size=BATCH, verbose=0, callbacks=[cycle]).history
    assert first["learning_rate"] == second["learning_rate"] == [pytest.approx(2e-7)]


def test_goes_on_at_initial_epoch_where_it_would_have_been():
    straight, resumed = make_model(), make_model()
    four = dict(batch_size=4 * BATCH, epochs=4)
    expected = train(straight, callbacks=[callbacks.OneCycle(0.05)], **four)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(resumed, "stop_training", epoch == 1)
    )
    train(resumed, callbacks=[callbacks.OneCycle(0.05), stop], **four)
    cycle = callbacks.OneCycle(0.05)
    got = train(resumed, callbacks=[cycle], initial_epoch=2, **four)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_past_its_end_the_last_rate_stays():
    model = make_model()
    cycle = callbacks.OneCycle(0.05, total_steps=STEPS // 2)
    logs = model.fit(X, Y, batch_size=BATCH, verbose=0, callbacks=[cycle]).history
    assert logs["learning_rate"] == [pytest.approx(0.05 / 25e4)]


def test_cycles_beta_1_of_adam():
    model = make_model("Adam", {"learning_rate": 0.5})
    start = model.get_weights()[0]
    got = train(model, callbacks=[callbacks.OneCycle(0.05)])
    mean = square = 0.0
    weights = start.astype("float64")
    for step, (rate, beta) in enumerate(zip(RATES, MOMENTA)):
        gradient = gradients(weights, step)
        mean = beta * mean + (1 - beta) * gradient
        square = 0.999 * square + 0.001 * gradient**2
        scale = np.sqrt(1 - 0.999 ** (step + 1)) / (1 - beta ** (step + 1))
        weights = weights - rate * scale * mean / (np.sqrt(square) + 1e-7)
    np.testing.assert_allclose(got, weights, rtol=1e-4)


def test_gives_rate_momentum_and_compiled_step_back():
    model, plain = make_model(), make_model()
    train(model)
    train(plain)
    compiled = model.train_function
    held = [variable.numpy() for variable in plain.variables + plain.optimizer.variables]
    train(model, callbacks=[callbacks.OneCycle(0.05)])
    assert model.train_function is compiled
    for variable, value in zip(model.variables + model.optimizer.variables, held):
        variable.assign(value)
    assert np.array_equal(train(model), train(plain))


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 5:
            raise KeyboardInterrupt


def test_an_interrupted_fit_leaves_nothing_for_the_next():
    model, plain = make_model(), make_model()
    start = [as_array.copy() for as_array in plain.get_weights()]
    with pytest.raises(KeyboardInterrupt):
        train(model, callbacks=[callbacks.OneCycle(0.5), Interrupt()])
    model.set_weights(start)
    fresh = keras.optimizers.SGD(**SGD)
    fresh.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, fresh.variables):
        variable.assign(value)
    logs = model.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0).history
    np.testing.assert_array_equal(model.get_weights()[0], train(plain))
    assert "learning_rate" not in logs
    assert "apply" not in vars(model.optimizer)


def test_an_error_in_the_data_takes_the_schedules_out_at_once():
    def batches():
        yield X[:BATCH], Y[:BATCH]
        raise OSError("the disk is gone")

    model = make_model()
    with pytest.raises(Exception, match="the disk is gone"):
        model.fit(batches(), verbose=0, callbacks=[callbacks.OneCycle(1, total_steps=9)])
    train(model)
    assert "apply" not in vars(model.optimizer)


def test_an_interrupted_fit_can_be_run_again_with_a_new_callback():
    model = make_model()
    with pytest.raises(KeyboardInterrupt):
        train(model, callbacks=[callbacks.OneCycle(0.05), Interrupt()])
    train(model, callbacks=[callbacks.OneCycle(0.05)])
    assert "apply" not in vars(model.optimizer)


def test_other_callbacks_read_the_rate_that_is_in_force():
    seen = []

    class Reader(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(float(self.model.optimizer.learning_rate))

    train(make_model(), callbacks=[callbacks.OneCycle(0.05), Reader()])
    assert seen == pytest.approx(RATES.tolist())


def test_data_of_unknown_length_need_total_steps():
    model = make_model()
    batches = ((X[:BATCH], Y[:BATCH]) for _ in range(2))
    sentence = "`total_steps` of OneCycle must be given, as the data do not tell"
    with pytest.raises(ValueError, match=sentence):
        model.fit(batches, verbose=0, callbacks=[callbacks.OneCycle(0.05)])


def test_an_epoch_of_unknown_length_may_end_in_the_middle_of_the_cycle():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    data = data.take(8).filter(lambda x, y: True)
    cycle = callbacks.OneCycle(0.05, total_steps=STEPS)
    logs = make_model().fit(data, epochs=2, verbose=0, callbacks=[cycle]).history
    first, second = logs["learning_rate"]
    # On TensorFlow the step that finds no more data may count: Keras's own race.
    assert first in [pytest.approx(rate) for rate in RATES[7:9]]
    assert second == pytest.approx(RATES[15])


def test_steps_per_epoch_tell_the_length():
    def batches():
        while True:
            yield X[:BATCH], Y[:BATCH]

    cycle = callbacks.OneCycle(0.05)
    length = dict(steps_per_epoch=STEPS // 4, epochs=4, verbose=0)
    logs = make_model().fit(batches(), callbacks=[cycle], **length).history
    assert logs["learning_rate"] == pytest.approx(RATES[3::4].tolist())


def test_an_optimizer_without_momentum_is_refused():
    model = make_model(built={"learning_rate": 0.1})
    sentence = "`cycle_momentum` of OneCycle must be False with SGD, built without a"
    with pytest.raises(ValueError, match=sentence):
        train(model, callbacks=[callbacks.OneCycle(0.05)])


@pytest.mark.parametrize(
    "arguments, rates, momenta",
    [
        (
            {"recipe": "paper"},
            {0: 0.1, 22: 0.55, 44: 1.0, 66: 0.55, 88: 0.1, 99: 0.001},
            {0: 0.95, 22: 0.9, 44: 0.85, 66: 0.9, 88: 0.95, 99: 0.95},
        ),
        (
            {"recipe": "fastai"},
            {0: 0.04, 12: 0.52, 24: 1.0, 99: 1e-5},
            {0: 0.95, 12: 0.9, 24: 0.85, 99: 0.95},
        ),
        (
            {"recipe": "pytorch", "pct_start": 0.25, "anneal": "linear"},
            {0: 0.04, 12: 0.52, 24: 1.0, 99: 4e-6},
            {0: 0.95, 12: 0.9, 24: 0.85, 99: 0.95},
        ),
        (
            {"recipe": "paper", "div_factor": 4, "three_phase": False},
            {0: 0.25, 44: 1.0, 99: 0.0025},
            {0: 0.95, 44: 0.85, 99: 0.95},
        ),
    ],
)
def test_a_recipe_says_all_and_what_is_given_beside_it_counts(arguments, rates, momenta):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    driven = callbacks.OneCycle(1.0, **arguments).schedules(optimizer, 25, 4)
    got = {step: float(driven["learning_rate"](step)) for step in rates}
    assert got == pytest.approx(rates, rel=1e-5)
    got = {step: float(driven["momentum"](step)) for step in momenta}
    assert got == pytest.approx(momenta, rel=1e-5)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"max_learning_rate": 0}, "`max_learning_rate` of OneCycle must be above 0"),
        (
            {"total_steps": 0},
            "`total_steps` of OneCycle must be an integer of at least 1",
        ),
        ({"total_steps": 1.5}, "`total_steps` of OneCycle must be an integer"),
        ({"pct_start": 2}, "`pct_start` of OneCycle must be between 0 and 1"),
        ({"max_momentum": 1.5}, "`max_momentum` of OneCycleMomentum must be from 0"),
        ({"recipe": "torch"}, "`recipe` of OneCycle must be one of 'pytorch', 'fastai'"),
        ({"anneal": "cos"}, "`anneal` of OneCycle must be one of 'cosine', 'linear'"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        callbacks.OneCycle(**({"max_learning_rate": 0.1} | arguments))

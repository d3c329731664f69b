"""Scaling at plateaus: when, by how much, and that it reaches the weights alone."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Report, Stop, X, Y, as_numpy, make_model

from keras_sched import callbacks, schedules

pytestmark = pytest.mark.every_backend
NAN, INF = float("nan"), float("inf")


def run(values, listed, *, model=None, of="loss", **arguments):
    """Trains one batch an epoch; returns the model and the rate of each epoch."""
    model = model or make_model(built={"learning_rate": 1e-3})
    arguments = dict(epochs=len(values), verbose=0, shuffle=False) | arguments
    listed = [Report(values, of), *listed]
    history = model.fit(X, Y, batch_size=len(X), callbacks=listed, **arguments)
    return model, history.history["learning_rate"]


def plateau(*arguments, **more):
    return callbacks.PlateauScaling("loss", *arguments, verbose=0, **more)


CASES = {
    "patience 2": (plateau(0.5, 2), [3, 2, 2, 2, 2, 2, 2], [1, 1, 1, 1, 0.5, 0.5, 0.25]),
    "new bob": (plateau(0.5, 0), [3, 2, 2.5, 1, 1, 1], [1, 1, 1, 0.5, 0.5, 0.25]),
    "min_delta": (plateau(0.1, 1, min_delta=0.5), [3, 2.6, 2.4, 2.4], [1, 1, 0.1, 0.1]),
    "cooldown": (plateau(0.5, 1, cooldown=2), [1] * 6, [1, 1, 0.5, 0.5, 0.5, 0.25]),
    "min_scale": (plateau(0.1, 1, min_scale=0.05), [1] * 5, [1, 1, 0.1, 0.05, 0.05]),
    "mode max": (plateau(0.5, 1, mode="max"), [1, 2, 1.5, 3], [1, 1, 1, 0.5]),
    "never NaN": (plateau(0.5, 2), [NAN, INF, 2, 1, 1], [1, 1, 0.5, 0.5, 0.5]),
    "never -inf": (plateau(0.5, 1), [2, -INF, 1, 0], [1, 1, 0.5, 0.5]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_scales_when_it_gets_no_better(case):
    callback, values, scales = case
    _, rates = run(values, [callback])
    assert rates == pytest.approx([1e-3 * scale for scale in scales])


losses = st.lists(st.integers(0, 8), min_size=1, max_size=25)


@given(losses, st.integers(0, 4), st.integers(0, 3), st.sampled_from(["min", "max"]))
@settings(max_examples=200, deadline=None)
def test_is_pytorchs_rule(values, patience, cooldown, mode):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode,
        factor=0.5,
        patience=max(patience, 1) - 1,  # Theirs are how many go unpunished.
        threshold=0.5,
        threshold_mode="abs",
        cooldown=cooldown,
        min_lr=0.1,
    )
    ours = plateau(
        0.5, patience, min_delta=0.5, mode=mode, cooldown=cooldown, min_scale=0.1
    )
    for epoch, value in enumerate(values):
        scheduler.step(value)
        (group,) = optimizer.param_groups
        assert ours._scale_after(values[: epoch + 1]) == pytest.approx(group["lr"])


@given(losses, st.integers(0, 4), st.sampled_from(["min", "max"]))
@settings(max_examples=50, deadline=None)
def test_is_the_rule_of_keras_where_there_is_no_cooldown(values, patience, mode):
    model = make_model(built={"learning_rate": 1.0})
    theirs = keras.callbacks.ReduceLROnPlateau(
        "loss", 0.5, patience, mode=mode, min_delta=0.5, min_lr=0.1
    )
    theirs.set_model(model)
    theirs.on_train_begin()
    ours = plateau(0.5, patience, min_delta=0.5, mode=mode, min_scale=0.1)
    for epoch, value in enumerate(values):
        theirs.on_epoch_end(epoch, {"loss": float(value)})
        rate = float(as_numpy(model.optimizer.learning_rate))
        assert ours._scale_after(values[: epoch + 1]) == pytest.approx(rate)


STOCK = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
OURS = schedules.LinearDecay(0.1, 10)
SOURCES = {
    "a number": (0.1, [], lambda step: 0.1),
    "a compiled schedule": (STOCK, [], lambda step: 0.1 * 0.5**step),
    "a callback": (
        0.7,
        [callbacks.HyperparameterScheduler(learning_rate=OURS)],
        lambda step: 0.1 * (1 - step / 10),
    ),
    "a callback over a compiled schedule": (
        STOCK,
        [callbacks.HyperparameterScheduler(learning_rate=OURS)],
        lambda step: 0.1 * (1 - step / 10),
    ),
}


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_multiplies_whatever_gives_the_rate(source, first):
    compiled, others, rate = source
    values, scales = [1] * 5, [1, 1, 0.5, 0.25, 0.125]
    model = make_model(built={"learning_rate": compiled})
    weights = model.get_weights()[0].astype("float64")
    listed = [plateau(0.5, 1), *others] if first else [*others, plateau(0.5, 1)]
    model, rates = run(values, listed, model=model)
    expected = [rate(step) * scale for step, scale in enumerate(scales)]
    assert rates == pytest.approx(expected)
    for now in expected:
        x, y = X.astype("float64"), Y.astype("float64")
        weights = weights - now * 2 * x.T @ (x @ weights - y) / len(x)
    np.testing.assert_allclose(model.get_weights()[0], weights, rtol=1e-5)
    later = float(as_numpy(model.optimizer.learning_rate))
    assert later == pytest.approx(0.1 * 0.5**5 if compiled is STOCK else compiled)


def test_two_of_them_multiply_each_other():
    other = plateau(0.1, 2)
    _, rates = run([1] * 5, [plateau(0.5, 1), other])
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 2.5e-5, 1.25e-5])


def test_a_change_of_scale_compiles_nothing():
    traced = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            traced.append(1)
            return inputs

    layers = [Counting(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(keras.optimizers.SGD(1e-3), "mse", jit_compile=True)
    counts = []
    count = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: counts.append(len(traced))
    )
    run([1] * 6, [plateau(0.5, 1), count], model=model)
    if keras.backend.backend() != "torch":
        assert counts == [counts[0]] * 6


def test_the_optimizer_shows_the_scaled_rate_and_saves_the_compiled_one(tmp_path):
    shown = []
    model = make_model(built={"learning_rate": 1e-3})

    def show(epoch, logs):
        shown.append(float(as_numpy(model.optimizer.learning_rate)))
        model.save(tmp_path / "model.keras")

    run(
        [1] * 3,
        [plateau(0.1, 1), keras.callbacks.LambdaCallback(on_epoch_end=show)],
        model=model,
    )
    assert shown == pytest.approx([1e-3, 1e-3, 1e-4])
    saved = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert float(as_numpy(saved.learning_rate)) == pytest.approx(1e-3)
    assert len(saved.variables) == len(model.optimizer.variables)


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_goes_on_after_a_resume(tmp_path, first):
    def listed(folder):
        checkpoint = callbacks.CheckpointEarlyStopping(
            folder, monitor="loss", verbose=0, restore_best=False
        )
        pair = [plateau(0.5, 2, momentum_correction=True), checkpoint]
        return pair if first else pair[::-1]

    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:  # The resumed run begins with a new scale.
                raise KeyboardInterrupt

    values = [1] * 8
    straight, rates = run(values, listed(tmp_path / "a"), model=make_model())
    with pytest.raises(KeyboardInterrupt):
        run(values, [Crash(), *listed(tmp_path / "b")], model=make_model())
    resumed = make_model()
    resumed.set_weights([np.zeros((3, 1))])
    resumed, again = run(values, listed(tmp_path / "b"), model=resumed)
    assert np.array_equal(resumed.get_weights()[0], straight.get_weights()[0])
    scales = np.array([1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125])
    assert rates == pytest.approx(0.02 * scales)
    logged = again[-len(rates) :]
    assert logged == pytest.approx(rates[-len(logged) :])


def test_epochs_without_validation_do_not_count():
    values = [None, 1] * 4
    validation = dict(validation_data=(X, Y), validation_freq=2, of="val_loss")
    callback = callbacks.PlateauScaling("val_loss", 0.5, 2, verbose=0)
    expected = [1e-3] * 6 + [5e-4] * 2  # Seen in epochs 2, 4 and 6.
    _, rates = run(values, [callback], **validation)
    assert rates == pytest.approx(expected)
    model, first = run(values, [callback], epochs=5, **validation)
    _, second = run(values, [callback], model=model, initial_epoch=5, **validation)
    assert first + second == pytest.approx(expected)


def test_epochs_without_validation_do_not_count_after_a_resume_either(tmp_path):
    def train(name, *more):
        kept = dict(monitor="val_loss", verbose=0, restore_best=False)
        plateau = callbacks.PlateauScaling(
            "val_loss", 0.5, 2, momentum_correction=True, verbose=0
        )
        listed = [plateau, callbacks.CheckpointEarlyStopping(tmp_path / name, **kept)]
        how = dict(validation_data=(X, Y), validation_freq=2, of="val_loss")
        model = make_model()
        model, rates = run([None, 1] * 5, [*listed, *more], model=model, **how)
        return model.get_weights()[0], rates

    straight, rates = train("straight")
    assert rates == pytest.approx([0.02] * 6 + [0.01] * 4)  # Seen in 2, 4, 6 and so on.
    for epoch in (3, 4, 6, 7):
        with pytest.raises(KeyboardInterrupt):
            train("killed", Stop(epoch, 0))
    resumed, _ = train("killed")
    assert np.array_equal(resumed, straight)


def test_says_so_in_one_line(capsys):
    callback = callbacks.PlateauScaling("loss", 0.5, 2)
    run([3, 2, 2, 2, 2], [callback])
    assert capsys.readouterr().out == (
        "PlateauScaling: no better loss for 2 epochs; "
        "the learning rate is scaled by 0.5\n"
    )


def test_a_monitor_that_the_model_has_not_is_refused_when_training_begins():
    model = make_model()
    model.evaluate(X, Y, verbose=0)
    listed = [callbacks.PlateauScaling("val_accuracy")]
    with pytest.raises(ValueError, match="`monitor` of PlateauScaling must be a metric"):
        model.fit(X, Y, verbose=0, callbacks=listed)
    assert int(model.optimizer.iterations) == 0


def test_a_validation_monitor_without_validation_is_refused_when_training_begins():
    model = make_model()
    with pytest.raises(ValueError, match="without val_, as fit has no validation data"):
        run([1], [callbacks.PlateauScaling("val_loss")], model=model)
    assert int(model.optimizer.iterations) == 0


def test_a_monitor_that_keras_has_not_made_yet_is_known_all_the_same():
    model = make_model()
    model.compile(model.optimizer, "mse", metrics=["mae"])
    with pytest.raises(
        ValueError, match="`monitor` of .* a metric of this model .loss, "
    ):
        model.fit(X, Y, verbose=0, callbacks=[callbacks.PlateauScaling("error")])
    assert int(model.optimizer.iterations) == 0
    model.fit(X, Y, verbose=0, callbacks=[callbacks.PlateauScaling("mae")])


def test_a_monitor_that_is_not_in_the_logs_of_a_step_of_ones_own_is_refused():
    class Own(keras.Sequential):
        def train_step(self, *args):
            return super().train_step(*args)

    model = Own([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    with pytest.raises(ValueError, match="`monitor` of PlateauScaling must be in the lo"):
        run([1], [callbacks.PlateauScaling("error")], model=model)


def test_momentum_correction_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="`momentum_correction` of SGD must be False"):
        run([1], [plateau(momentum_correction=True)])

"""One row a callback that drives hyperparameters; every law below then holds for it."""

import csv
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import (
    SGD,
    STEPS,
    as_numpy,
    batches,
    drawn,
    gradients,
    make_model,
    sgd,
    train,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_sched import callbacks, schedules
from keras_sched.callbacks.base import OptimizerCallback

pytestmark = pytest.mark.every_backend
EXECUTIONS = (1,) if keras.backend.backend() == "torch" else (1, 2)
EPOCHS = 4
EACH = STEPS // EPOCHS
RATE, MOMENTUM = SGD["learning_rate"], SGD["momentum"]


class Row(NamedTuple):
    make: object
    rates: list  # Of each step, by another route than the schedules.
    momenta: list
    needs: str | None  # What must be given where the data do not tell their length.
    noises: list = np.zeros(STEPS)  # Their standard deviation.


STEP = np.arange(STEPS)
EPOCH = STEP // EACH
SAME = np.ones(STEPS)
ROWS = {
    "OneCycle": Row(
        lambda: callbacks.OneCycle(0.05, anneal="linear", pct_start=0.5),
        np.interp(STEP, [0, 7, 15], [0.002, 0.05, 2e-7]),
        np.interp(STEP, [0, 7, 15], [0.95, 0.85, 0.95]),
        needs="total_steps",
    ),
    "StepDecay": Row(
        lambda: callbacks.StepDecay(0.5, drop_epochs=2),
        RATE * np.repeat([1, 1, 0.5, 0.5], EACH),
        MOMENTUM * SAME,
        needs="steps_per_epoch",
    ),
    "TimeBasedDecay": Row(
        lambda: callbacks.TimeBasedDecay(0.5),
        RATE / np.repeat([1, 3, 5, 7], EACH),
        MOMENTUM * SAME,
        needs="steps_per_epoch",
    ),
    "TimeBasedDecay, by itself": Row(
        callbacks.TimeBasedDecay,
        RATE / (1 + RATE / EPOCHS * EPOCH * EACH),
        MOMENTUM * SAME,
        needs="steps_per_epoch",
    ),
    "HyperparameterScheduler": Row(
        lambda: callbacks.HyperparameterScheduler(
            learning_rate=schedules.LinearDecay(0.04, STEPS), momentum=0.5
        ),
        0.04 * (1 - STEP / STEPS),
        0.5 * SAME,
        needs=None,
    ),
    "HyperparameterScheduler, in epochs": Row(
        lambda: callbacks.HyperparameterScheduler(
            in_epochs=True,
            learning_rate=schedules.MultiStepDecay(0.04, [1, 3]),
            momentum=keras.optimizers.schedules.PolynomialDecay(0.9, EPOCHS, 0.5),
        ),
        0.04 * np.repeat([1, 0.1, 0.1, 0.01], EACH),
        0.9 - 0.4 * STEP / STEPS,
        needs="steps_per_epoch",
    ),
    "SnapshotEnsemble": Row(
        lambda: callbacks.SnapshotEnsemble("snapshots", 2, overwrite=True, verbose=0),
        RATE * (1 + np.cos(np.pi * (STEP % 8) / 8)) / 2,
        MOMENTUM * SAME,
        needs="steps_per_epoch",
    ),
    "PlateauScaling": Row(  # With such a min_delta, no epoch is better than the first.
        lambda: callbacks.PlateauScaling("loss", 0.5, 0, min_delta=1e9, verbose=0),
        RATE * np.repeat([1, 1, 0.5, 0.25], EACH),
        MOMENTUM * SAME,
        needs=None,
    ),
    "GradientNoise": Row(
        lambda: callbacks.GradientNoise(0.25, gamma=2.0),
        RATE * SAME,
        MOMENTUM * SAME,
        needs=None,
        noises=0.5 / (1 + STEP),
    ),
}


@pytest.fixture(autouse=True)
def _files_in_a_folder_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


every = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def by_hand(start, row):
    driven = {"learning_rate": row.rates, "momentum": row.momenta}
    driven["weight_decay"] = np.zeros(STEPS)
    noise = [stddev * drawn(step) for step, stddev in enumerate(row.noises)]

    def value(name, step):
        return float(driven[name][step])

    return sgd(start.astype("float64"), value, noise=noise)


def fit(model, listed, times=1, **arguments):
    length = dict(epochs=EPOCHS, steps_per_epoch=EACH, verbose=0)
    return model.fit(batches(times), callbacks=listed, **length | arguments)


@every
@pytest.mark.parametrize("as_list", [True, False])
def test_weights_are_those_of_the_rule_step_by_step(row, as_list):
    for steps_per_execution in EXECUTIONS:
        model = make_model(steps_per_execution=steps_per_execution)
        start = model.get_weights()[0]
        callback = row.make()
        fit(model, [callback] if as_list else callback)
        np.testing.assert_allclose(model.get_weights()[0], by_hand(start, row), rtol=2e-5)


@every
def test_two_fits_in_a_row_are_alike_and_start_anew(row):
    model, callback = make_model(), row.make()
    first = fit(model, [callback], times=2).history
    second = fit(model, [callback], times=2).history
    assert first["learning_rate"] == second["learning_rate"]
    assert first["learning_rate"] == pytest.approx(row.rates[EACH - 1 :: EACH].tolist())


@every
def test_goes_on_at_initial_epoch_where_it_would_have_been(row):
    model, callback = make_model(), row.make()
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1)
    )
    first = fit(model, [callback, stop]).history["learning_rate"]
    assert as_numpy(model.optimizer.iterations) == 2 * EACH
    later = fit(model, [callback], initial_epoch=2).history["learning_rate"]
    assert first + later == pytest.approx(row.rates[EACH - 1 :: EACH].tolist())


@every
def test_gives_optimizer_and_compiled_step_back(row):
    model = make_model()
    fit(model, [])
    compiled, before = model.train_function, set(vars(model.optimizer))
    fit(model, [row.make()])
    assert model.train_function is compiled
    assert set(vars(model.optimizer)) == before
    assert float(model.optimizer.learning_rate) == pytest.approx(RATE)
    assert model.optimizer.momentum == MOMENTUM


def on_board(folder):
    """What the training curves of a TensorBoard show."""
    (file,) = (folder / "train").glob("events.*.v2")
    found = EventAccumulator(str(file))
    found.Reload()
    return {
        tag: [float(tf.make_ndarray(e.tensor_proto)) for e in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
        if tag.startswith("epoch_")
    }


@every
def test_other_callbacks_see_what_was_driven(row, tmp_path):
    log, best = tmp_path / "log.csv", tmp_path / "best.keras"
    others = [
        keras.callbacks.CSVLogger(log),
        keras.callbacks.EarlyStopping("loss", patience=9),
        keras.callbacks.ModelCheckpoint(best, monitor="loss", save_best_only=True),
        keras.callbacks.TensorBoard(tmp_path / "board"),
    ]
    history = fit(make_model(), [row.make(), *others]).history
    board = on_board(tmp_path / "board")
    assert len(board["epoch_learning_rate"]) == EPOCHS  # Of the step after, by Keras.
    rows = list(csv.DictReader(log.open()))
    last = row.rates[EACH - 1 :: EACH]
    assert [float(r["learning_rate"]) for r in rows] == pytest.approx(last.tolist())
    if row.noises.any():
        noises = row.noises[EACH - 1 :: EACH].tolist()
        assert history["gradient_noise"] == pytest.approx(noises)
        assert board["epoch_gradient_noise"] == pytest.approx(noises)
    if not np.allclose(row.momenta, MOMENTUM):
        momenta = row.momenta[EACH - 1 :: EACH].tolist()
        assert history["momentum"] == pytest.approx(momenta)
        assert board["epoch_momentum"] == pytest.approx(momenta)
    saved = keras.saving.load_model(best).optimizer
    assert type(saved.momentum) is float
    assert saved.momentum == MOMENTUM


@every
def test_data_of_unknown_length_are_refused_naming_what_to_give(row):
    model = make_model()
    if row.needs is None:
        model.fit(batches(), verbose=0, callbacks=[row.make()])
        return
    with pytest.raises(ValueError, match=f"`{row.needs}` of .* must be given"):
        model.fit(batches(), verbose=0, callbacks=[row.make()])
    assert int(model.optimizer.iterations) == 0
    assert "apply" not in vars(model.optimizer)


@every
def test_an_interrupted_fit_leaves_nothing(row):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = make_model()
    with pytest.raises(KeyboardInterrupt):
        fit(model, [row.make(), Interrupt()])
    assert "learning_rate" not in fit(model, []).history
    assert "apply" not in vars(model.optimizer)


def by_pytorch(start, rates, momenta):
    """PyTorch's SGD: the velocity holds gradients, and the rate comes last."""
    weights, velocity = start.astype("float64"), 0.0
    for step in range(STEPS):
        velocity = momenta[step] * velocity + gradients(weights, step)
        weights = weights - rates[step] * velocity
    return weights


@pytest.mark.parametrize("name", ["OneCycle", "StepDecay", "PlateauScaling"])
def test_with_momentum_correction_the_weights_are_pytorchs(name):
    row = ROWS[name]
    for steps_per_execution in EXECUTIONS:
        model = make_model(steps_per_execution=steps_per_execution)
        start = model.get_weights()[0]
        callback = row.make()
        callback.momentum_correction = True
        fit(model, [callback])
        expected = by_pytorch(start, row.rates, row.momenta)
        np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)
        assert np.abs(expected - by_hand(start, row)).max() > 0.05
        assert model.optimizer.momentum == MOMENTUM


def test_momentum_correction_equals_torch_itself():
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    model = make_model()
    weights = torch.nn.Parameter(torch.tensor(model.get_weights()[0].astype("float64")))
    optimizer = torch.optim.SGD([weights], 0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=STEPS)
    for step in range(STEPS):
        gradient = gradients(weights.detach().numpy(), step)
        weights.grad = torch.tensor(gradient)
        optimizer.step()
        if step < STEPS - 1:
            scheduler.step()
    fit(model, [callbacks.OneCycle(0.05, momentum_correction=True)])
    expected = weights.detach().numpy()
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-6, atol=1e-6)


def test_momentum_correction_looks_back_one_update_under_gradient_accumulation():
    model = make_model(built=SGD | {"gradient_accumulation_steps": EACH})
    weights = start = model.get_weights()[0].astype("float64")
    fit(model, [callbacks.StepDecay(0.5, 2, momentum_correction=True)])
    velocity, rates = 0.0, ROWS["StepDecay"].rates
    for update in range(EPOCHS):
        steps = range(update * EACH, (update + 1) * EACH)
        gradient = np.mean([gradients(weights, step) for step in steps], axis=0)
        velocity = MOMENTUM * velocity + gradient
        weights = weights - rates[steps[-1]] * velocity
    assert np.abs(weights - start).max() > 0.1
    np.testing.assert_allclose(model.get_weights()[0], weights, rtol=1e-5)


@pytest.mark.parametrize(
    "name, built",
    [("Adam", {}), ("SGD", {}), ("SGD", {"momentum": 0.9, "nesterov": True})],
)
def test_momentum_correction_is_for_plain_sgd_with_momentum(name, built):
    model = make_model(name, built)
    callback = callbacks.StepDecay(momentum_correction=True)
    with pytest.raises(ValueError, match="`momentum_correction` of .* must be False but"):
        fit(model, [callback])


def test_momentum_correction_needs_a_scheduled_rate():
    callback = callbacks.HyperparameterScheduler(momentum_correction=True, momentum=0.5)
    with pytest.raises(ValueError, match="`momentum_correction` of SGD must be False un"):
        fit(make_model(), [callback])


@pytest.mark.parametrize("make", [callbacks.StepDecay, callbacks.TimeBasedDecay])
def test_a_compiled_schedule_is_no_rate_to_start_from(make):
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model = make_model(built={"learning_rate": decay})
    with pytest.raises(ValueError, match="`learning_rate` of SGD must be a number in c"):
        train(model, callbacks=[make()])


def test_two_callbacks_drive_different_hyperparameters_but_not_the_same():
    model = make_model()
    start = model.get_weights()[0]
    momentum = callbacks.HyperparameterScheduler(momentum=0.5)
    fit(model, [callbacks.StepDecay(0.5, 2), momentum])
    both = ROWS["StepDecay"]._replace(momenta=0.5 * SAME)
    np.testing.assert_allclose(model.get_weights()[0], by_hand(start, both), rtol=2e-5)
    with pytest.raises(ValueError, match="`learning_rate` of SGD must be free, but is"):
        fit(make_model(), [callbacks.StepDecay(0.5), callbacks.OneCycle(0.1)])


REFUSED = {
    "`drop_epochs` of StepDecay must be an integer of at least 1": (
        lambda: callbacks.StepDecay(drop_epochs=0)
    ),
    "`drop_factor` of StepDecay must be above 0 and at most 1": (
        lambda: callbacks.StepDecay(0)
    ),
    "`decay_rate` of TimeBasedDecay must be at least 0": (
        lambda: callbacks.TimeBasedDecay(-1)
    ),
    "`learning_rate` of HyperparameterScheduler must be given, or another": (
        callbacks.HyperparameterScheduler
    ),
    "`hyperparameter` of HyperparameterScheduler must be one of 'learning_rate', ": (
        lambda: callbacks.HyperparameterScheduler(lr=0.1)
    ),
    "`momentum` of HyperparameterScheduler must be a finite number or a schedule": (
        lambda: callbacks.HyperparameterScheduler(momentum="0.5")
    ),
    "`eta` of GradientNoise must be at least 0": lambda: callbacks.GradientNoise(-1),
    "`gamma` of GradientNoise must be at least 0": (
        lambda: callbacks.GradientNoise(gamma=-0.5)
    ),
    "`seed` of GradientNoise must be an integer of at least 0": (
        lambda: callbacks.GradientNoise(seed=-1)
    ),
    "`mode` of PlateauScaling must be 'min' or 'max'": (
        lambda: callbacks.PlateauScaling("val_happiness")
    ),
    "`mode` of PlateauScaling must be one of 'auto', 'min', 'max'": (
        lambda: callbacks.PlateauScaling(mode="low")
    ),
    "`factor` of PlateauScaling must be between 0 and 1": (
        lambda: callbacks.PlateauScaling(factor=1)
    ),
    "`patience` of PlateauScaling must be an integer of at least 0": (
        lambda: callbacks.PlateauScaling(patience=-1)
    ),
    "`min_delta` of PlateauScaling must be at least 0": (
        lambda: callbacks.PlateauScaling(min_delta=-1)
    ),
    "`min_scale` of PlateauScaling must be at least 0, below 1": (
        lambda: callbacks.PlateauScaling(min_scale=1)
    ),
    "`cooldown` of PlateauScaling must be an integer of at least 0": (
        lambda: callbacks.PlateauScaling(cooldown=0.5)
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_bad_arguments_are_refused_at_construction(sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        REFUSED[sentence]()


def test_every_callback_that_drives_has_a_row():
    offered = [getattr(callbacks, name) for name in callbacks.__all__]
    drivers = {c.__name__ for c in offered if issubclass(c, OptimizerCallback)}
    assert {name.split(",")[0] for name in ROWS} == drivers

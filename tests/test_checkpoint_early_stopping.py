"""The callback that keeps the best, stops in time and resumes."""

import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from reference import Report, X, Y, as_numpy, make_model

from keras_sched import callbacks

pytestmark = pytest.mark.every_backend


def run(folder, values, *, epochs=None, model=None, **arguments):
    """Trains one batch an epoch; returns the callback, the model and the history."""
    arguments = dict(monitor="loss", verbose=0) | arguments
    checkpoint = callbacks.CheckpointEarlyStopping(folder, **arguments)
    model = model or make_model()
    fit = dict(batch_size=len(X), epochs=epochs or len(values), verbose=0)
    fit["shuffle"] = False
    history = model.fit(X, Y, callbacks=[Report(values), checkpoint], **fit)
    return checkpoint, model, history


def load(path):
    return keras.saving.load_model(path).get_weights()[0]


def weights_after(epochs):
    model = make_model()
    model.fit(X, Y, batch_size=len(X), epochs=epochs, verbose=0, shuffle=False)
    return model.get_weights()[0]


def test_keeps_the_best_and_the_last_as_plain_keras_models(tmp_path):
    checkpoint, model, _ = run(tmp_path, [3, 1, 2, 5], restore_best=False)
    assert (checkpoint.best, checkpoint.best_epoch) == (1, 1)
    assert np.array_equal(load(tmp_path / "best.keras"), weights_after(2))
    assert np.array_equal(load(tmp_path / "last.keras"), weights_after(4))
    assert np.array_equal(model.get_weights()[0], weights_after(4))
    assert sorted(os.listdir(tmp_path)) == ["best.keras", "last.keras"]


def test_plain_keras_goes_on_training_from_the_last_file(tmp_path):
    run(tmp_path, [3, 1])
    again = keras.saving.load_model(tmp_path / "last.keras")
    again.fit(X, Y, batch_size=len(X), epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(again.get_weights()[0], weights_after(4), rtol=1e-6)


def test_restores_the_best_weights_at_the_end(tmp_path):
    checkpoint, model, _ = run(tmp_path, [3, 1, 2, 5])
    assert np.array_equal(model.get_weights()[0], weights_after(2))
    assert checkpoint.stop_reason == "finished"


@pytest.mark.parametrize(
    "values, arguments, epochs, best_epoch, reason",
    [
        ([3, 2, 4, 4, 4], {"patience": 2}, 4, 1, "patience"),
        ([3, 2, 4, 1, 4, 4], {"patience": 2}, 6, 3, "patience"),
        ([3, 2, 4, 4, 4, 4], {"patience": 1, "start_from_epoch": 3}, 4, 1, "patience"),
        ([3, 2.95, 2.91, 2.9], {"patience": 2, "min_delta": 0.1}, 3, 0, "patience"),
        ([1, 2, 3, 2, 2], {"patience": 2, "mode": "max"}, 5, 2, "patience"),
        ([3, 2, 1, 0.5], {"stop_threshold": 1}, 3, 2, "threshold"),
        ([1, 5, 9], {"stop_threshold": 5, "mode": "max"}, 2, 1, "threshold"),
        ([3, math.nan, 1], {}, 2, 0, "not finite"),
        ([3, math.nan, 1], {"on_nan": "ignore"}, 3, 2, "finished"),
        ([math.nan, 3, 4], {"on_nan": "ignore"}, 3, 1, "finished"),
        ([3, -math.inf, 1], {"on_nan": "ignore"}, 3, 2, "finished"),
        ([3, 3, 3], {}, 3, 0, "finished"),
    ],
)
def test_stops_when_and_why_it_should(
    tmp_path, values, arguments, epochs, best_epoch, reason
):
    checkpoint, _, history = run(tmp_path, values, **arguments)
    assert len(history.epoch) == epochs
    assert (checkpoint.best_epoch, checkpoint.stop_reason) == (best_epoch, reason)


def test_a_model_that_is_not_finite_replaces_nothing(tmp_path):
    with pytest.raises(ValueError, match="epoch 2 ended with nan"):
        run(tmp_path, [3, math.nan, 1], on_nan="raise")
    assert np.array_equal(load(tmp_path / "last.keras"), weights_after(1))


class Crash(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 3:
            raise KeyboardInterrupt


def dropping_model():
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dropout(0.5),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def fit_dropping(folder, *extra, **arguments):
    model = dropping_model()
    checkpoint = callbacks.CheckpointEarlyStopping(folder, **arguments)
    rates = callbacks.OneCycle(0.05)
    data = dict(batch_size=16, shuffle=False, validation_data=(X, Y))
    listed = [rates, checkpoint, *extra]
    history = model.fit(X, Y, epochs=6, verbose=0, callbacks=listed, **data)
    return checkpoint, model, history


@pytest.mark.parametrize("restore_best", [False, True])
def test_a_resumed_run_ends_as_the_straight_one_to_the_bit(tmp_path, restore_best):
    kept = dict(restore_best=restore_best, verbose=0, patience=9)
    straight, model, history = fit_dropping(tmp_path / "straight", **kept)
    with pytest.raises(KeyboardInterrupt):
        fit_dropping(tmp_path / "crashed", Crash(), **kept)
    resumed, again, told = fit_dropping(tmp_path / "crashed", **kept)
    assert [np.array_equal(a, b) for a, b in zip(held(model), held(again))].count(0) == 0
    assert told.history == history.history
    assert told.epoch == history.epoch == [0, 1, 2, 3, 4, 5]
    assert (resumed.best, resumed.best_epoch) == (straight.best, straight.best_epoch)


def held(model):
    return [as_numpy(v) for v in model.variables + model.optimizer.variables]


def test_patience_goes_on_where_it_stood(tmp_path):
    values = [3, 2, 4, 4, 4, 4, 4]
    run(tmp_path, values, epochs=3, patience=3)
    checkpoint, _, history = run(tmp_path, values, patience=3)
    assert len(history.epoch) == 5
    assert checkpoint.stop_reason == "patience"


def test_a_run_that_was_stopped_stays_stopped(tmp_path):
    _, model, _ = run(tmp_path, [3, 2, 4, 4, 4], patience=2)
    checkpoint, again, history = run(tmp_path, [3, 2, 4, 4, 1], patience=2)
    assert len(history.epoch) == 4
    assert checkpoint.stop_reason == "patience"
    assert np.array_equal(again.get_weights()[0], model.get_weights()[0])


def test_a_finished_run_goes_on_when_given_more_epochs(tmp_path):
    run(tmp_path, [3, 2], restore_best=False)
    _, model, history = run(tmp_path, [3, 2, 1, 4], restore_best=False)
    assert history.epoch == [0, 1, 2, 3]
    np.testing.assert_allclose(model.get_weights()[0], weights_after(4), rtol=1e-6)


def test_a_later_fit_without_the_callback_starts_at_epoch_0(tmp_path):
    run(tmp_path, [3, 2])
    _, model, _ = run(tmp_path, [3, 2])
    history = model.fit(X, Y, epochs=1, verbose=0)
    assert history.epoch == [0]


def test_tells_where_a_resume_would_begin(tmp_path):
    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss")
    assert checkpoint.initial_epoch() == 0
    run(tmp_path, [3, 2, 4])
    assert checkpoint.initial_epoch() == 3


def test_a_damaged_last_file_is_named_and_passed_over(tmp_path, capsys):
    run(tmp_path, [3, 2, 4], restore_best=False)
    content = bytearray((tmp_path / "last.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "last.keras").write_bytes(content)
    _, model, history = run(tmp_path, [3, 2, 4, 4], restore_best=False)
    assert "last.keras is damaged" in capsys.readouterr().out
    assert history.epoch == [0, 1, 2, 3]
    np.testing.assert_allclose(model.get_weights()[0], weights_after(4), rtol=1e-6)


def test_a_best_file_ahead_of_the_last_is_believed(tmp_path):
    """As when the process is killed between the two files of one epoch."""
    run(tmp_path, [3, 2], restore_best=False)
    shutil.copy(tmp_path / "last.keras", tmp_path / "kept")
    run(tmp_path, [3, 2, 1], restore_best=False)
    os.replace(tmp_path / "kept", tmp_path / "last.keras")
    checkpoint, _, history = run(tmp_path, [3, 2, 9, 9], restore_best=False)
    assert (checkpoint.best, checkpoint.best_epoch) == (1, 2)
    assert history.epoch == [0, 1, 2, 3]


def test_another_models_run_is_refused(tmp_path):
    run(tmp_path, [3, 2])
    other = dropping_model()
    with pytest.raises(ValueError, match="`directory` .* without the run of another"):
        run(tmp_path, [3, 2, 1], model=other)


def test_a_folder_with_a_run_is_refused_when_not_to_resume(tmp_path):
    run(tmp_path, [3, 2])
    with pytest.raises(ValueError, match="`resume` of .* must be True, or the directory"):
        run(tmp_path, [3, 2], resume=False)


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run(tmp_path, [3, 2])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_says_in_one_line_how_it_goes_on_and_how_it_ended(tmp_path, capsys):
    run(tmp_path, [3, 2], verbose=1)
    run(tmp_path, [3, 2, 4, 5], verbose=1, patience=2)
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "CheckpointEarlyStopping: all epochs done; best loss 2 in epoch 2, its weights"
    )
    assert second.endswith("goes on with epoch 3 of 4; best loss 2 in epoch 2")
    assert "stopped: 2 epochs without a better loss; best loss 2 in epoch 2" in third


def test_state_travels_in_the_file_as_json(tmp_path):
    run(tmp_path, [3, 2])
    with zipfile.ZipFile(tmp_path / "last.keras") as archive:
        state = json.loads(archive.read("keras_sched.json"))
    assert (state["epoch"], state["best"], state["history"]["loss"]) == (1, 2, [3, 2])


def test_a_monitor_that_no_epoch_brings_is_refused_and_loses_nothing(tmp_path):
    model = make_model()
    model.compile(model.optimizer, "mse", metrics=["mae"])  # Unknown until it trains.
    with pytest.raises(ValueError, match="`monitor` .* must be in the logs .loss, mae."):
        run(tmp_path, [3, 2], monitor="error", model=model)
    assert np.array_equal(load(tmp_path / "last.keras"), weights_after(1))


def test_a_validation_monitor_without_validation_is_refused_at_once(tmp_path):
    model = make_model()
    with pytest.raises(ValueError, match="without val_, as fit has no validation data"):
        run(tmp_path / "new", [3, 2], monitor="val_loss", model=model)
    assert int(model.optimizer.iterations) == 0
    assert not (tmp_path / "new").exists()


def test_epochs_without_validation_do_not_count(tmp_path):
    values = [None, 3, None, 2, None, 5, None, 4, None, 1]
    arguments = dict(monitor="val_loss", patience=2, verbose=0)

    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 5:
                raise KeyboardInterrupt

    def train(*more):
        checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, **arguments)
        fit = dict(batch_size=len(X), epochs=10, verbose=0, shuffle=False)
        fit |= dict(validation_data=(X, Y), validation_freq=2)
        listed = [Report(values, "val_loss"), checkpoint, *more]
        return checkpoint, make_model().fit(X, Y, callbacks=listed, **fit)

    with pytest.raises(KeyboardInterrupt):
        train(Crash())
    checkpoint, history = train()
    assert (checkpoint.best, checkpoint.best_epoch) == (2, 3)
    assert (checkpoint.stop_reason, history.epoch) == ("patience", list(range(8)))
    assert np.array_equal(load(tmp_path / "best.keras"), weights_after(4))
    assert np.array_equal(load(tmp_path / "last.keras"), weights_after(8))


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"mode": "down"}, "`mode` of CheckpointEarlyStopping must be one of 'auto'"),
        ({"monitor": "val_score"}, "`mode` of .* must be 'min' or 'max', as monitor="),
        (
            {"min_delta": -1},
            "`min_delta` of CheckpointEarlyStopping must be at least 0",
        ),
        ({"patience": 0}, "`patience` of .* must be an integer of at least 1"),
        ({"patience": 1.5}, "`patience` of .* must be an integer of at least 1"),
        ({"stop_threshold": "1"}, "`stop_threshold` of .* must be a finite number"),
        ({"on_nan": "stay"}, "`on_nan` of .* must be one of 'stop', 'ignore', 'raise'"),
    ],
)
def test_bad_arguments_are_refused_at_construction(tmp_path, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        callbacks.CheckpointEarlyStopping(tmp_path, **arguments)


@pytest.mark.parametrize("monitor", ["val_accuracy", "AUC", "val_f1", "mean_iou"])
def test_knows_from_the_name_that_higher_is_better(tmp_path, monitor):
    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, monitor=monitor)
    assert checkpoint._metric.is_better(2.0, best=1.0)


def script(folder, *where):
    path = pathlib.Path(__file__).parent / "killed_run.py"
    command = [sys.executable, str(path), str(folder), *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_a_process_killed_anywhere_ends_as_the_straight_run_to_the_bit(tmp_path):
    for name in ("straight", "killed"):
        (tmp_path / name).mkdir()
    code, said = script(tmp_path / "straight")
    assert code == 0, said
    for where in ("epoch", "rename-2"):
        assert script(tmp_path / "killed", where)[0] == -9
    code, said = script(tmp_path / "killed")
    assert "goes on with epoch 4 of 5" in said
    straight, killed = (np.load(tmp_path / n / "end.npz") for n in ("straight", "killed"))
    assert straight.files == killed.files
    for name in straight.files:
        assert np.array_equal(straight[name], killed[name]), name
    assert os.listdir(tmp_path / "killed" / "checkpoints") != []
    assert len(list((tmp_path / "killed" / "checkpoints").glob(".*"))) == 0

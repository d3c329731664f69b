"""The callback that keeps the best, stops in time and resumes."""

import concurrent.futures
import datetime
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import keras
import numpy as np
import pytest
from reference import Report, Stop, X, Y, as_numpy, make_model

from keras_sched import _lock, callbacks, schedules

pytestmark = pytest.mark.every_backend
THREE = ["best.keras", "last.keras", "previous.keras"]


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
    assert sorted(os.listdir(tmp_path)) == THREE


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
    with pytest.raises(ValueError, match="epoch 2 ended with loss nan"):
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


@pytest.mark.parametrize("values", [(4, 4), (1, 4)], ids=["is last", "is the best too"])
def test_a_damaged_last_file_is_named_and_passed_over(tmp_path, capsys, values):
    run(tmp_path, [3, 2, values[0]], restore_best=False)
    content = bytearray((tmp_path / "last.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "last.keras").write_bytes(content)  # Under all its names.
    _, model, history = run(tmp_path, [3, 2, *values], restore_best=False)
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
    assert (state["epoch"], state["best"], state["history"]["loss"]) == (2, 2, [3, 2])


def test_a_monitor_that_no_epoch_brings_is_refused_at_once_with_those_there_are(tmp_path):
    model = make_model()
    model.compile(model.optimizer, "mse", metrics=["mae"])  # Not made until it trains.
    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path / "new", monitor="error")
    with pytest.raises(ValueError, match="metric of this model .loss, mae., or val_"):
        model.fit(X, Y, verbose=0, callbacks=[checkpoint])
    assert int(model.optimizer.iterations) == 0
    assert not (tmp_path / "new").exists()


def test_a_monitor_that_the_logs_lack_is_refused_and_loses_nothing(tmp_path):
    class Lose(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["other"] = logs.pop("loss")

    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss", verbose=0)
    model = make_model()
    how = dict(batch_size=len(X), shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="`monitor` .* must be in the logs .other."):
        model.fit(X, Y, callbacks=[Lose(), checkpoint], **how)
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
        ({"start_from_epoch": "top"}, "`start_from_epoch` of .* must be an integer"),
        ({"keep": 0}, "`keep` of .* must be an integer of at least 1"),
        ({"save_every": "step"}, "`save_every` of .* must be 'epoch', an integer of"),
        ({"save_every": 0}, "`save_every` of .* must be 'epoch', an integer of at"),
        ({"save_every": 2.5}, "`save_every` of .* must be 'epoch', an integer of at"),
        ({"save_every": datetime.timedelta(0)}, "`save_every` of .* must be above 0"),
        ({"rollback_factor": 1}, "`rollback_factor` of .* must be between 0 and 1"),
        ({"max_rollbacks": 0}, "`max_rollbacks` of .* must be an integer of at least"),
        ({"stop_threshold": "1"}, "`stop_threshold` of .* must be a finite number"),
        (
            {"on_nan": "stay"},
            "`on_nan` of .* must be one of 'stop', 'raise', 'ignore', 'roll",
        ),
    ],
)
def test_bad_arguments_are_refused_at_construction(tmp_path, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        callbacks.CheckpointEarlyStopping(tmp_path, **arguments)


@pytest.mark.parametrize("monitor", ["val_accuracy", "AUC", "val_f1", "mean_iou"])
def test_knows_from_the_name_that_higher_is_better(tmp_path, monitor):
    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, monitor=monitor)
    assert checkpoint._metric.is_better(2.0, best=1.0)


# Where it is saved, and what is kept.


def steps(folder, *more, model=None, epochs=3, **arguments):
    """Trains 16 batches an epoch."""
    arguments = dict(monitor="loss", verbose=0, restore_best=False) | arguments
    checkpoint = callbacks.CheckpointEarlyStopping(folder, **arguments)
    model = model or make_model(metrics=["mae"])
    fit = dict(batch_size=8, epochs=epochs, verbose=0, shuffle=False)
    history = model.fit(X, Y, callbacks=[checkpoint, *more], **fit)
    return checkpoint, model, history


@pytest.mark.parametrize(
    "every, saved",
    [(5, 10), (1, 12), (12, 12), (datetime.timedelta(microseconds=1), 12), (13, 0)],
)
def test_steps_in_mid_epoch_are_saved_as_often_as_asked(tmp_path, every, saved):
    with pytest.raises(KeyboardInterrupt):
        steps(tmp_path, Stop(1, 12), save_every=every)
    found = callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss").position()
    assert found == {"epoch": 1, "step": saved}
    counted = keras.saving.load_model(tmp_path / "last.keras").optimizer.iterations
    assert int(counted) == 16 + saved


def test_a_run_that_goes_on_in_mid_epoch_sees_each_batch_once_and_all_logs(tmp_path):
    class Batches(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.seen = []

        def on_train_batch_begin(self, batch, logs=None):
            self.seen.append(batch)

    _, model, history = steps(tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        steps(tmp_path / "half", Stop(1, 9), save_every=4)
    batches = Batches()
    _, again, told = steps(tmp_path / "half", batches, save_every=4)
    assert batches.seen == [*range(8, 16), *range(16)]
    assert told.history == history.history
    assert np.array_equal(again.get_weights()[0], model.get_weights()[0])


def test_data_that_begin_where_the_run_does_are_not_passed_over(tmp_path):
    def endless(epoch, step):
        for number in itertools.count(epoch * 16 + step):
            rows = slice(number % 16 * 8, number % 16 * 8 + 8)
            yield X[rows], Y[rows]

    def train(*more):
        checkpoint = callbacks.CheckpointEarlyStopping(
            tmp_path, monitor="loss", verbose=0, save_every=1, restore_best=False
        )
        model = make_model()
        data = endless(**checkpoint.position())
        how = dict(epochs=3, steps_per_epoch=16, verbose=0)
        history = model.fit(data, callbacks=[checkpoint, *more], **how)
        return model.get_weights()[0], history.history

    _, model, history = steps(tmp_path / "straight", model=make_model())
    with pytest.raises(KeyboardInterrupt):
        train(Stop(1, 5))
    weights, told = train()
    assert np.array_equal(weights, model.get_weights()[0])
    assert told["loss"] == history.history["loss"]


def damage(path):
    """Puts something else under the name; the file may have other names too."""
    path.unlink()
    path.write_bytes(b"torn")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_are_kept_by_rank_across_a_resume(tmp_path, mode):
    values = [5, 2, 7, 1, 3, 4]
    how = dict(keep=3, mode=mode, restore_best=False)
    run(tmp_path, values, epochs=3, **how)
    run(tmp_path, values, **how)
    best = np.argsort(values if mode == "min" else np.negative(values))[:3]
    kept = [f"epoch-{epoch + 1:04}.keras" for epoch in sorted(best)]
    assert names(tmp_path) == ["best.keras", *kept, "last.keras", "previous.keras"]
    for epoch, name in zip(sorted(best), kept):
        assert np.array_equal(load(tmp_path / name), weights_after(int(epoch) + 1))
    assert np.array_equal(load(tmp_path / "best.keras"), weights_after(int(best[0]) + 1))


def test_a_lost_best_file_comes_back_from_another_of_its_epoch(tmp_path):
    run(tmp_path, [3, 1, 2], keep=2, epochs=3, restore_best=False)
    damage(tmp_path / "best.keras")
    _, model, _ = run(tmp_path, [3, 1, 2, 4], keep=2)
    assert np.array_equal(model.get_weights()[0], weights_after(2))


def test_a_best_model_that_is_lost_is_looked_for_anew(tmp_path, capsys):
    run(tmp_path, [3, 1, 2], restore_best=False)
    (tmp_path / "best.keras").unlink()
    (tmp_path / "previous.keras").unlink()
    checkpoint, _, _ = run(tmp_path, [3, 1, 2, 4, 3.5])
    assert "the best model is lost" in capsys.readouterr().out
    assert (checkpoint.best, checkpoint.best_epoch) == (3.5, 4)


def test_a_damaged_file_is_set_aside_and_not_deleted(tmp_path):
    run(tmp_path, [3, 2, 4], restore_best=False)
    damage(tmp_path / "last.keras")
    run(tmp_path, [3, 2, 4, 5], restore_best=False)
    assert (tmp_path / "last.keras.damaged").read_bytes() == b"torn"


def test_a_model_of_another_is_refused_and_stays(tmp_path):
    make_model().save(tmp_path / "best.keras")
    before = (tmp_path / "best.keras").read_bytes()
    with pytest.raises(ValueError, match=r"without a best.keras that another has made"):
        run(tmp_path, [3, 2])
    assert (tmp_path / "best.keras").read_bytes() == before
    assert names(tmp_path) == ["best.keras"]


def test_a_file_of_a_later_version_is_refused_and_stays(tmp_path):
    run(tmp_path, [3, 2], restore_best=False)
    with zipfile.ZipFile(tmp_path / "last.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    state = json.loads(members["keras_sched.json"]) | {"version": 99}
    members["keras_sched.json"] = json.dumps(state).encode()
    with zipfile.ZipFile(tmp_path / "last.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    before = (tmp_path / "last.keras").read_bytes()
    with pytest.raises(ValueError, match="last.keras this version of keras_sched can"):
        run(tmp_path, [3, 2, 1])
    assert (tmp_path / "last.keras").read_bytes() == before


def test_files_like_those_kept_are_left_alone(tmp_path):
    (tmp_path / "epoch-12.keras").write_text("mine")
    (tmp_path / "epoch-0001.keras.txt").write_text("mine")
    run(tmp_path, [3, 2, 1], keep=2)
    assert {"epoch-12.keras", "epoch-0001.keras.txt"} < set(names(tmp_path))


def test_a_symbolic_link_is_replaced_and_what_it_points_to_stays(tmp_path):
    run(tmp_path / "run", [3, 2], restore_best=False)
    elsewhere = tmp_path / "elsewhere.keras"
    os.replace(tmp_path / "run" / "last.keras", elsewhere)
    (tmp_path / "run" / "last.keras").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    run(tmp_path / "run", [3, 2, 4], restore_best=False)
    assert elsewhere.read_bytes() == before
    assert not (tmp_path / "run" / "last.keras").is_symlink()
    assert np.array_equal(load(tmp_path / "run" / "last.keras"), weights_after(3))


def test_a_model_that_keras_cannot_save_is_refused_at_once(tmp_path):
    class Odd(keras.layers.Layer):
        def __init__(self, what, **kwargs):
            super().__init__(**kwargs)
            self.what = what

        def call(self, inputs):
            return inputs

        def get_config(self):
            raise TypeError("no way to tell")

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1), Odd(object())])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="one that Keras can save .no way to tell."):
        run(tmp_path / "new", [3, 2], model=model)
    assert not (tmp_path / "new").exists()


def test_a_disk_without_room_is_refused_at_once(tmp_path, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match="room for a model of .* bytes, but 10 are free"):
        run(tmp_path, [3, 2])
    assert names(tmp_path) == []


# Patience and the peak of the rate.


def test_patience_waits_for_the_peak_of_one_cycle(tmp_path):
    values = [1, 5, 5, 5, 5, 5, 5, 5, 5, 5]
    checkpoint = callbacks.CheckpointEarlyStopping(
        tmp_path, monitor="loss", verbose=0, patience=2, start_from_epoch="peak"
    )
    cycle = callbacks.OneCycle(0.05, pct_start=0.5, cycle_momentum=False)
    model = make_model()
    fit = dict(batch_size=64, epochs=10, verbose=0, shuffle=False)
    listed = [Report(values), cycle, checkpoint]
    history = model.fit(X, Y, callbacks=listed, **fit)
    rates = history.history["learning_rate"]
    assert np.argmax(rates) == 4
    assert len(rates) == 7


# What is not finite.


class Spoil(keras.callbacks.Callback):
    """Makes a weight not finite before a step, as often as told."""

    def __init__(self, epoch, batch=0, times=1):
        super().__init__()
        self.place, self.times, self.epoch = (epoch, batch), times, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.epoch >= self.place[0] and batch == self.place[1] and self.times:
            self.times -= 1
            kernel = self.model.trainable_variables[0]
            kernel.assign(np.full(kernel.shape, np.nan))


def rolling(folder, *more, epochs=5, **arguments):
    how = dict(monitor="loss", verbose=1, on_nan="rollback", restore_best=False)
    checkpoint = callbacks.CheckpointEarlyStopping(folder, **how | arguments)
    model = make_model()
    fit = dict(batch_size=8, epochs=epochs, verbose=0, shuffle=False)
    cycle = callbacks.HyperparameterScheduler(
        learning_rate=schedules.LinearDecay(0.02, 80)
    )
    history = model.fit(X, Y, callbacks=[cycle, checkpoint, *more], **fit)
    return checkpoint, model, history


def by_hand(lost, factors):
    """The weights of such a run, by a plain one that goes back itself."""
    model, kept = make_model(), None
    model.optimizer.build(model.trainable_variables)
    for epoch in range(5):
        kept = [as_numpy(v) for v in model.variables + model.optimizer.variables]
        for step in range(16):
            rows = slice(step * 8, step * 8 + 8)
            rate = 0.02 * (1 - (epoch * 16 + step) / 80) * factors[epoch]
            model.optimizer.learning_rate = rate
            model.train_on_batch(X[rows], Y[rows])
        if epoch == lost:
            for variable, value in zip(model.variables, kept):
                variable.assign(value)
            for variable, value in zip(
                model.optimizer.variables, kept[len(model.variables) :]
            ):
                if "int" not in keras.backend.standardize_dtype(variable.dtype):
                    variable.assign(value)
    return model.get_weights()[0]


@pytest.mark.parametrize("lost", [0, 2])
def test_a_rollback_goes_back_to_the_last_file_and_scales_the_rate(
    tmp_path, capsys, lost
):
    checkpoint, model, history = rolling(tmp_path, Spoil(lost, 3))
    factors = [1.0 if epoch <= lost else 0.5 for epoch in range(5)]
    np.testing.assert_allclose(model.get_weights()[0], by_hand(lost, factors), rtol=1e-5)
    assert math.isnan(history.history["loss"][lost])
    assert checkpoint.stop_reason == "finished"
    said = capsys.readouterr().out
    assert (
        f"epoch {lost + 1} ended with loss nan; weights are those of last.keras" in said
    )
    assert "the learning rate is scaled by 0.5" in said
    assert np.isfinite(load(tmp_path / "last.keras")).all()


def test_a_rollback_is_known_after_a_resume(tmp_path):
    _, model, history = rolling(tmp_path / "straight", Spoil(1, 3))
    with pytest.raises(KeyboardInterrupt):
        rolling(tmp_path / "half", Spoil(1, 3), Stop(3, 2))
    _, again, told = rolling(tmp_path / "half")
    assert np.array_equal(model.get_weights()[0], again.get_weights()[0])
    assert told.history["learning_rate"] == history.history["learning_rate"]


def test_it_stops_when_rollbacks_are_spent(tmp_path):
    checkpoint, _, history = rolling(tmp_path, Spoil(1, 3, times=9), max_rollbacks=2)
    assert checkpoint.stop_reason == "not finite"
    assert history.epoch == [0, 1, 2, 3]


def test_a_rollback_in_mid_epoch_loses_no_more_than_to_the_last_save(tmp_path):
    checkpoint, model, history = rolling(tmp_path, Spoil(1, 5), save_every=2)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(model.get_weights()[0]).all()
    assert checkpoint._progress.rollbacks == 1


def test_a_weight_that_is_not_finite_is_never_saved(tmp_path):
    class Last(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                kernel = self.model.trainable_variables[0]
                kernel.assign(np.full(kernel.shape, np.inf))

    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss", verbose=0)
    model = make_model()
    fit = dict(batch_size=len(X), epochs=4, verbose=0, shuffle=False)
    model.fit(X, Y, callbacks=[Report([3, 1, 2, 2]), Last(), checkpoint], **fit)
    assert checkpoint.stop_reason == "not finite"
    assert np.array_equal(model.get_weights()[0], weights_after(1))


# Alone in its folder.


def test_two_in_one_fit_are_refused(tmp_path):
    one, other = (
        callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss") for _ in range(2)
    )
    with pytest.raises(ValueError, match="nobody else trains in; another callback of"):
        make_model().fit(X, Y, verbose=0, callbacks=[one, other])
    assert names(tmp_path) == [".keras_sched.lock"]
    run(tmp_path, [3, 2])
    assert names(tmp_path) == THREE


def test_a_fit_that_broke_off_does_not_lock_out_the_next(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        steps(tmp_path, Stop(1, 0))
    _, _, history = steps(tmp_path)
    assert history.epoch == [0, 1, 2]


HOLDER = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[2])
import importlib.util
spec = importlib.util.spec_from_file_location("_lock", sys.argv[2])
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
print(lock.Lock(pathlib.Path(sys.argv[1]), lambda: True).take(), flush=True)
if len(sys.argv) > 3:
    import os
    if os.fork():
        os._exit(0)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Returns a function that starts another process that holds the folder."""
    started = []

    def start(*more):
        command = [sys.executable, "-c", HOLDER, str(tmp_path), _lock.__file__, *more]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "None\n"
        started.append(process)
        return process

    yield start
    subprocess.run(["pkill", "-f", str(tmp_path)], check=False)
    for process in started:
        process.kill()
        process.wait()


def test_a_second_process_is_refused_and_told_who_has_the_folder(tmp_path, holder):
    process = holder()
    with pytest.raises(ValueError, match=rf"trains in; process {process.pid} on "):
        run(tmp_path, [3, 2])
    process.kill()
    process.wait()
    run(tmp_path, [3, 2])
    assert names(tmp_path) == THREE


def test_what_a_dead_process_has_started_does_not_hold_the_folder(tmp_path, holder):
    holder("forks").wait()
    run(tmp_path, [3, 2])
    assert names(tmp_path) == THREE


# Signals.


class Signal(keras.callbacks.Callback):
    def __init__(self, number, epoch, batch, times=1):
        super().__init__()
        self.number, self.place, self.times = number, (epoch, batch), times

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


@pytest.fixture
def interruptible():
    """Has Ctrl-C interrupt, also in a job in the background, of which it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves_with_its_code(tmp_path, capsys, number, code):
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as left:
        steps(tmp_path, Signal(number, 1, 6), verbose=1)
    assert left.value.code == code
    assert isinstance(left.value, KeyboardInterrupt)
    assert "goes on from here" in capsys.readouterr().out
    assert signal.getsignal(number) is before
    found = callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss").position()
    assert found == {"epoch": 1, "step": 7}
    assert names(tmp_path) == THREE


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt) as left:
        steps(tmp_path, Signal(signal.SIGINT, 1, 6, times=2))
    assert type(left.value) is KeyboardInterrupt
    found = callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss").position()
    assert found == {"epoch": 1, "step": 0}


def test_a_handler_of_ones_own_is_asked_after_the_save(tmp_path):
    asked = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        _, _, history = steps(tmp_path, Signal(signal.SIGTERM, 1, 6))
        assert signal.getsignal(signal.SIGTERM) is not before
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked == [signal.SIGTERM]
    assert history.epoch == [0, 1, 2]


def test_after_a_fit_that_broke_off_signals_are_what_they_were(tmp_path):
    asked = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            steps(tmp_path, Stop(1, 0))
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked == [signal.SIGTERM]


def test_in_a_thread_signals_are_left_alone_and_that_is_said_once(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for name in "ab":
            how = dict(verbose=1, epochs=1)
            pool.submit(steps, tmp_path / name, **how).result()
    assert capsys.readouterr().out.count("in a thread; SIGTERM and Ctrl-C do not") == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_child_of_the_process_obeys_signals(tmp_path):
    codes = []

    class Fork(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            reads, writes = os.pipe()
            child = os.fork()
            if not child:
                os.write(writes, b"1")  # From here on no signal is lost.
                time.sleep(30)
                os._exit(0)
            os.read(reads, 1)
            os.kill(child, signal.SIGTERM)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    begun = time.monotonic()
    steps(tmp_path, Fork(), epochs=1)
    assert codes == [-signal.SIGTERM]
    assert time.monotonic() - begun < 25


# What a second start must not take for its own.


def test_another_monitor_than_the_runs_is_refused(tmp_path):
    run(tmp_path, [3, 2])
    with pytest.raises(
        ValueError, match="`monitor` of .* must be 'loss', mode 'min', by"
    ):
        run(tmp_path, [3, 2, 1], mode="max")


def test_a_file_that_cannot_be_opened_is_not_taken_for_damaged(tmp_path, monkeypatch):
    run(tmp_path, [3, 2])

    def too_many(*args, **kwargs):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZipFile", too_many)
        with pytest.raises(OSError, match="Too many open files"):
            run(tmp_path, [3, 2, 1])
    assert names(tmp_path) == THREE


def test_what_was_set_aside_before_stays(tmp_path):
    run(tmp_path, [3, 2, 4], restore_best=False)
    (tmp_path / "last.keras.damaged").write_text("earlier")
    damage(tmp_path / "last.keras")
    run(tmp_path, [3, 2, 4, 5], restore_best=False)
    assert (tmp_path / "last.keras.damaged").read_text() == "earlier"
    assert (tmp_path / "last.keras.damaged-2").read_bytes() == b"torn"


def test_a_folder_of_such_a_name_is_refused(tmp_path):
    (tmp_path / "best.keras").mkdir()
    with pytest.raises(ValueError, match=r"without a best.keras that another has made"):
        run(tmp_path, [3, 2])


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(ValueError, match="`directory` of .* must be a folder, or free"):
        run(tmp_path / "run", [3, 2])


def test_a_fit_that_another_callback_refuses_leaves_no_epoch_behind(tmp_path):
    class Refuse(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise ValueError("no")

    run(tmp_path, [3, 2, 1])
    model = make_model()
    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss", verbose=0)
    with pytest.raises(ValueError, match="no"):
        model.fit(X, Y, epochs=9, verbose=0, callbacks=[checkpoint, Refuse()])
    assert model.fit(X, Y, epochs=2, verbose=0).epoch == [0, 1]


def test_metrics_with_several_values_are_kept_and_come_back(tmp_path):
    class Several(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["several"] = np.array([epoch, 1.0])

    def train(epochs):
        checkpoint = callbacks.CheckpointEarlyStopping(
            tmp_path, monitor="loss", verbose=0
        )
        how = dict(epochs=epochs, verbose=0, callbacks=[Several(), checkpoint])
        return make_model().fit(X, Y, **how).history["several"]

    train(1)
    assert [list(values) for values in train(2)] == [[0, 1], [1, 1]]


def test_a_stop_by_another_callback_is_said_as_such(tmp_path):
    class StopAll(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    checkpoint, _, _ = steps(tmp_path, StopAll())
    assert checkpoint.stop_reason == "stopped"


class TermInTest(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_test_batch_begin(self, batch, logs=None):
        if self.epoch == self.at and batch == 0:
            os.kill(os.getpid(), signal.SIGTERM)


EXECUTIONS = (1,) if keras.backend.backend() == "torch" else (1, 4)


class Own(keras.Sequential):
    def train_step(self, *args):
        return super().train_step(*args)


@pytest.mark.parametrize("own", [False, True], ids=["stock", "train_step of its own"])
@pytest.mark.parametrize("executions", EXECUTIONS)
@pytest.mark.parametrize("known", [True, False])
def test_a_signal_in_validation_goes_on_with_it(tmp_path, executions, known, own):
    def batches():
        for first in range(0, 48, 8):
            yield X[first : first + 8], Y[first : first + 8]

    def train(folder, *more):
        import tensorflow as tf

        data = X[:48], Y[:48]
        if not known:
            kinds = [tf.TensorSpec((None, n), "float32") for n in (3, 1)]
            data = tf.data.Dataset.from_generator(batches, output_signature=tuple(kinds))
        compiled = dict(steps_per_execution=executions, metrics=["mae"])
        model = make_model(**compiled)
        if own:
            model = Own([keras.Input((3,)), *model.layers])
            model.compile(keras.optimizers.SGD(0.02, 0.9), "mse", **compiled)
        checkpoint = callbacks.CheckpointEarlyStopping(
            folder, monitor="loss", verbose=0, restore_best=False
        )
        how = dict(epochs=3, verbose=0, shuffle=False, callbacks=[checkpoint, *more])
        how |= dict(validation_data=(X, Y), validation_batch_size=8)
        data = dict(x=data[0], y=data[1], batch_size=8) if known else dict(x=data)
        history = model.fit(**data, **how)
        return model.get_weights()[0], history.history

    weights, history = train(tmp_path / "straight")
    with pytest.raises(SystemExit):
        train(tmp_path / "half", TermInTest(1))
    again, told = train(tmp_path / "half")
    assert np.array_equal(again, weights)
    assert told == history

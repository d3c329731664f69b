"""Snapshots at the ends of cosine cycles, and saved models that predict as one."""

import functools
import os
import random
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import SGD, Report, X, Y, as_numpy, make_model

from keras_sched import callbacks, ensemble

pytestmark = pytest.mark.every_backend
EPOCHS, CYCLES, EACH = 4, 2, 4  # Steps of an epoch: the last.
BATCH, CYCLE = len(X) // EACH, EPOCHS * EACH // CYCLES
EXECUTIONS = (1,) if keras.backend.backend() == "torch" else (1, 2)
DATA = dict(batch_size=BATCH, shuffle=False, verbose=0)


def fit(folder, *others, before=(), model=None, epochs=EPOCHS, start=0, **arguments):
    """Trains; returns the callback and the history."""
    arguments = dict(cycles=CYCLES, verbose=0) | arguments
    snapshots = callbacks.SnapshotEnsemble(folder / "snapshots", **arguments)
    listed = [*before, snapshots, *others]
    length = dict(epochs=epochs, initial_epoch=start)
    model = model or make_model()
    return snapshots, model.fit(X, Y, callbacks=listed, **length, **DATA).history


def resumable(folder, order, *between, values=(1, 2, 3, 4), kept=None, **arguments):
    """Trains beside a `CheckpointEarlyStopping`, which puts the first weights back."""
    kept = dict(monitor="loss", verbose=0) | (kept or {})
    checkpoint = callbacks.CheckpointEarlyStopping(folder / "run", **kept)
    others = [Report(values), checkpoint, *between]
    if order == "behind":
        return fit(folder, before=others, **arguments)
    return fit(folder, *between, *others[:2], **arguments)


def weights_in(path):
    return keras.saving.load_model(path).get_weights()[0]


def found(folder):
    """What the snapshots in a folder hold, by name."""
    names = sorted(os.listdir(folder / "snapshots"))
    return {name: weights_in(folder / "snapshots" / name).tolist() for name in names}


class Remember(keras.callbacks.Callback):
    """Keeps the weights of each epoch's end."""

    def on_train_begin(self, logs=None):
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights()[0].tolist())


class Die(keras.callbacks.Callback):
    """Breaks off at the end of an epoch, where its place in the list is, or inside."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.epoch, self.batch = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == (self.epoch, self.batch):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What is in the snapshots of a run that nothing befell, by name."""
    folder = tmp_path_factory.mktemp("straight")
    fit(folder)
    return found(folder)


def cosine(step, highest=SGD["learning_rate"], lowest=0.0):
    """The paper's formula."""
    return lowest + (highest - lowest) / 2 * (np.cos(np.pi * (step % CYCLE) / CYCLE) + 1)


def by_hand(weights, steps):
    """Gradient descent with momentum along the formula, in NumPy."""
    weights, velocity = weights.astype("float64"), 0.0
    for step in range(steps):
        rows = slice(step % EACH * BATCH, (step % EACH + 1) * BATCH)
        x, y = X[rows].astype("float64"), Y[rows].astype("float64")
        gradient = 2 * x.T @ (x @ weights - y) / BATCH
        velocity = SGD["momentum"] * velocity - cosine(step) * gradient
        weights = weights + velocity
    return weights


@pytest.mark.parametrize("steps_per_execution", EXECUTIONS)
def test_a_snapshot_is_the_model_as_its_cycle_ends(tmp_path, steps_per_execution):
    model, remember = make_model(steps_per_execution=steps_per_execution), Remember()
    start = model.get_weights()[0]
    snapshots, _ = fit(tmp_path, remember, model=model)
    assert [path.name for path in snapshots.paths] == [*found(tmp_path)]
    for number, path in enumerate(snapshots.paths, 1):
        weights = weights_in(path)
        assert weights.tolist() == remember.weights[2 * number - 1]
        expected = by_hand(start, number * CYCLE)
        np.testing.assert_allclose(weights, expected, rtol=2e-5)
    first, second = map(weights_in, snapshots.paths)
    assert np.abs(first - second).max() > 0.01


def test_the_rate_falls_in_each_cycle_as_the_formula_says(tmp_path):
    last = np.arange(EPOCHS) * EACH + EACH - 1
    model = make_model()
    _, history = fit(tmp_path, model=model)
    assert history["learning_rate"] == pytest.approx(cosine(last).tolist())
    assert float(model.optimizer.learning_rate) == pytest.approx(SGD["learning_rate"])
    given = dict(max_learning_rate=0.04, min_learning_rate=0.01, overwrite=True)
    _, history = fit(tmp_path, **given)
    assert history["learning_rate"] == pytest.approx(cosine(last, 0.04, 0.01).tolist())


def test_a_snapshot_is_a_plain_keras_model_with_its_optimizer(tmp_path):
    snapshots, _ = fit(tmp_path)
    first, second = snapshots.models()
    assert int(as_numpy(first.optimizer.iterations)) == CYCLE
    assert float(first.optimizer.learning_rate) == pytest.approx(SGD["learning_rate"])
    velocity = as_numpy(second.optimizer.momentums[0])
    assert np.abs(velocity).max() > 0
    assert first.fit(X, Y, verbose=0).history.keys() == {"loss"}


def test_predicts_the_mean_of_its_snapshots(tmp_path):
    snapshots, _ = fit(tmp_path)
    expected = np.mean([X @ weights_in(path) for path in snapshots.paths], axis=0)
    np.testing.assert_allclose(snapshots.predict(X, verbose=0), expected, rtol=1e-5)
    squared = snapshots.predict(X, activation=keras.ops.square, batch_size=5, verbose=0)
    expected = np.mean([(X @ weights_in(p)) ** 2 for p in snapshots.paths], axis=0)
    np.testing.assert_allclose(squared, expected, rtol=1e-5)


@pytest.mark.parametrize("order", ["before", "behind"])
@pytest.mark.parametrize("epoch, batch", [(0, None), (1, None), (2, 1), (3, None)])
def test_a_run_killed_and_run_again_has_the_same_snapshots(
    tmp_path, order, epoch, batch, straight
):
    with pytest.raises(KeyboardInterrupt):
        resumable(tmp_path, order, Die(epoch, batch))
    assert len(found(tmp_path)) == (epoch + (order == "before")) // 2
    resumable(tmp_path, order)
    assert found(tmp_path) == straight


@pytest.mark.parametrize("order", ["before", "behind"])
@pytest.mark.parametrize("place", [1, -1], ids=["then averaged", "averaged first"])
def test_beside_an_average_snapshots_have_it_also_after_a_kill(tmp_path, order, place):
    def train(name, *more):
        remember, averaging = Remember(), callbacks.WeightAveraging("swa")
        folder, between = tmp_path / name, [averaging, *more]
        if place == 1:
            resumable(folder, order, *between, remember)
        else:
            kept = dict(monitor="loss", verbose=0, restore_best=False)
            checkpoint = callbacks.CheckpointEarlyStopping(folder / "run", **kept)
            fit(folder, checkpoint, remember, before=between)
        return remember.weights

    ends = train("straight")
    means = [np.mean(ends[:2], axis=0), np.mean(ends, axis=0)]
    straight = found(tmp_path / "straight")
    np.testing.assert_allclose([*straight.values()], means, rtol=1e-5)
    with pytest.raises(KeyboardInterrupt):
        train("killed", Die(1))
    train("killed")
    assert found(tmp_path / "killed") == straight


@pytest.mark.parametrize("order", ["before", "behind"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_nor_does_it_matter_where_a_cycle_is_an_epoch(tmp_path, order, epoch):
    for name in ("straight", "killed"):
        folder = tmp_path / name
        if name == "killed":
            with pytest.raises(KeyboardInterrupt):
                resumable(folder, order, Die(epoch), epochs=2)
        resumable(folder, order, epochs=2)
    assert found(tmp_path / "straight") == found(tmp_path / "killed")


@pytest.mark.parametrize("order", ["before", "behind"])
def test_a_run_killed_and_run_again_inside_an_epoch_has_the_same(
    tmp_path, order, straight
):
    kept = {"save_every": 1}
    for epoch, batch in [(0, 2), (2, 1), (3, 2)]:
        with pytest.raises(KeyboardInterrupt):
            resumable(tmp_path, order, Die(epoch, batch), kept=kept)
    resumable(tmp_path, order, kept=kept)
    assert found(tmp_path) == straight


def test_inside_a_cycle_a_snapshot_can_no_longer_be_taken(tmp_path):
    kept = {"save_every": 1}
    with pytest.raises(KeyboardInterrupt):
        resumable(tmp_path, "behind", Die(2, 2), kept=kept)
    (tmp_path / "snapshots" / "snapshot-1.keras").unlink()
    with pytest.raises(ValueError, match="must be one with snapshot-1.keras, as the cyc"):
        resumable(tmp_path, "behind", kept=kept)
    assert found(tmp_path) == {}


def test_snapshots_may_be_ahead_of_what_a_resume_begins_with(tmp_path, straight):
    """As with a checkpoint that is written every so many minutes."""
    kept, last = {"save_every": 1}, tmp_path / "run" / "last.keras"
    with pytest.raises(KeyboardInterrupt):
        resumable(tmp_path, "before", Die(0, 2), kept=kept)
    older = last.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        resumable(tmp_path, "before", Die(2), kept=kept)
    for path in (tmp_path / "run").iterdir():
        path.unlink()
    last.write_bytes(older)
    resumable(tmp_path, "before", kept=kept)
    assert found(tmp_path) == straight


@pytest.mark.parametrize("order", ["before", "behind"])
def test_a_finished_run_run_again_has_its_snapshots_as_they_were(tmp_path, order):
    resumable(tmp_path, order)
    there = {path: path.read_bytes() for path in (tmp_path / "snapshots").iterdir()}
    snapshots, history = resumable(tmp_path, order)
    assert len(history["loss"]) == EPOCHS
    assert {path: path.read_bytes() for path in snapshots.paths} == there


@pytest.mark.parametrize("order", ["before", "behind"])
def test_the_last_snapshot_of_a_finished_run_is_taken_again(tmp_path, order, straight):
    resumable(tmp_path, order)
    (tmp_path / "snapshots" / "snapshot-2.keras").unlink()
    resumable(tmp_path, order)
    assert found(tmp_path) == straight


def test_a_snapshot_that_lacks_at_initial_epoch_is_taken_there(tmp_path, straight):
    model = make_model()
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, Die(1), model=model)
    (tmp_path / "snapshots" / "snapshot-1.keras").unlink()
    fit(tmp_path, model=model, start=2)
    assert found(tmp_path) == straight


@pytest.mark.parametrize("order", ["before", "behind"])
def test_a_run_stopped_inside_a_cycle_has_no_snapshot_of_it(tmp_path, order, straight):
    for _ in range(2):
        snapshots, history = resumable(tmp_path, order, kept={"patience": 2})
        assert len(history["loss"]) == 3
        (path,) = snapshots.paths
        assert weights_in(path).tolist() == straight[path.name]


def test_a_run_stopped_as_a_cycle_ends_has_its_snapshot(tmp_path, straight):
    with pytest.raises(KeyboardInterrupt):
        resumable(tmp_path, "behind", Die(1), kept={"patience": 1})
    assert found(tmp_path) == {}
    resumable(tmp_path, "behind", kept={"patience": 1})
    assert found(tmp_path) == {"snapshot-1.keras": straight["snapshot-1.keras"]}


def test_a_history_of_an_earlier_fit_is_no_resume(tmp_path):
    history, model = keras.callbacks.History(), make_model()
    fit(tmp_path / "first", history, model=model)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "second", history, Die(0), model=model)
    assert found(tmp_path / "second") == {}


def test_a_run_goes_on_when_given_more_cycles_of_the_same_length(tmp_path, straight):
    resumable(tmp_path, "behind")
    resumable(tmp_path, "behind", epochs=6, cycles=3, values=(1, 2, 3, 4, 5, 6))
    assert [*found(tmp_path)] == [f"snapshot-{number}.keras" for number in (1, 2, 3)]
    assert straight.items() < found(tmp_path).items()


def test_another_run_is_refused_the_folder(tmp_path, straight):
    fit(tmp_path)
    model = make_model()
    sentence = "`directory` of SnapshotEnsemble must be without snapshots when a fit"
    with pytest.raises(ValueError, match=sentence):
        fit(tmp_path, model=model)
    assert int(as_numpy(model.optimizer.iterations)) == 0
    assert "apply" not in vars(model.optimizer)
    assert found(tmp_path) == straight


def test_overwrite_removes_all_snapshots_of_the_run_before(tmp_path):
    fit(tmp_path, cycles=4)
    (tmp_path / "snapshots" / "notes.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, Die(2), overwrite=True)
    names = sorted(os.listdir(tmp_path / "snapshots"))
    assert names == ["notes.txt", "snapshot-1.keras"]


def test_a_run_goes_on_with_overwrite_as_without(tmp_path, straight):
    with pytest.raises(KeyboardInterrupt):
        resumable(tmp_path, "behind", Die(2), overwrite=True)
    resumable(tmp_path, "behind", overwrite=True)
    assert found(tmp_path) == straight


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("start", [0, 2])
def test_a_file_that_is_not_its_own_is_never_replaced(tmp_path, overwrite, start):
    path = tmp_path / "snapshots" / "snapshot-1.keras"
    path.parent.mkdir()
    for content in ("model", "torn"):
        path.write_bytes(b"PK")
        if content == "model":
            make_model().save(path)
        before = path.read_bytes()
        with pytest.raises(ValueError, match="must be without snapshot-1.keras, which"):
            fit(tmp_path, overwrite=overwrite, start=start)
        assert path.read_bytes() == before


def test_snapshots_of_cycles_of_another_length_are_refused(tmp_path):
    model = make_model()
    fit(tmp_path, cycles=4, model=model)
    with pytest.raises(ValueError, match="of a run with cycles of 4 epochs; snapshot 1"):
        fit(tmp_path, epochs=8, start=4, model=model)
    assert len(found(tmp_path)) == 4


def test_a_snapshot_that_can_no_longer_be_taken_is_asked_for(tmp_path):
    model = make_model()
    with pytest.raises(ValueError, match="must be one with snapshot-1.keras, as the cyc"):
        fit(tmp_path, start=3, model=model)
    assert int(as_numpy(model.optimizer.iterations)) == 0


def test_epochs_that_the_cycles_do_not_divide_are_refused(tmp_path):
    model = make_model()
    sentence = "`epochs` of SnapshotEnsemble must be a multiple of its 3 cycles. Received"
    with pytest.raises(ValueError, match=f"{sentence}: epochs=4"):
        fit(tmp_path, cycles=3, model=model)
    assert int(as_numpy(model.optimizer.iterations)) == 0
    assert not (tmp_path / "snapshots").exists()


def test_a_model_that_cannot_be_saved_is_refused_before_it_trains(tmp_path):
    class Unsavable(keras.layers.Layer):
        def __init__(self, unit):
            super().__init__()

        def get_config(self):
            raise NotImplementedError("no config")

        def call(self, inputs):
            return inputs

    model = make_model()
    model.add(Unsavable(object()))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must be one that Keras can save .no config."):
        fit(tmp_path, model=model)
    assert not (tmp_path / "snapshots").exists()


def test_a_compiled_schedule_is_no_rate_to_begin_with_but_one_can_be_given(tmp_path):
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model = make_model(built=SGD | {"learning_rate": decay})
    with pytest.raises(ValueError, match="`learning_rate` of SGD must be a number in c"):
        fit(tmp_path, model=model)
    fit(tmp_path, model=model, max_learning_rate=0.02)
    assert len(found(tmp_path)) == CYCLES


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"cycles": 0}, "`cycles` of SnapshotEnsemble must be an integer of at least 1"),
        ({"min_learning_rate": -1}, "`min_learning_rate` of .* must be at least 0"),
        ({"max_learning_rate": "0.1"}, "`max_learning_rate` of .* must be a finite numb"),
        (
            {"max_learning_rate": 0.1, "min_learning_rate": 0.2},
            "`max_learning_rate` of .* must be at least 0.2",
        ),
    ],
)
def test_bad_arguments_are_refused_at_construction(tmp_path, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        callbacks.SnapshotEnsemble(tmp_path, **{"cycles": 2} | arguments)


def test_says_at_the_end_how_many_there_are(tmp_path, capsys):
    fit(tmp_path, verbose=1)
    assert capsys.readouterr().out == (
        f"SnapshotEnsemble: 2 of 2 snapshots in {tmp_path / 'snapshots'}\n"
    )


def saved(folder, outputs, dtype=None, count=3, width=4):
    """Saves models with random weights; returns their paths and these weights."""
    rng, paths, weights = np.random.default_rng(7), [], []
    for number in range(count):
        inputs = keras.Input((3,))
        dense = functools.partial(keras.layers.Dense, width, dtype=dtype)
        model = keras.Model(inputs, outputs(dense, inputs))
        model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
        paths.append(folder / f"{number}.keras")
        model.save(paths[-1])
        weights.append([w.astype("float64") for w in model.get_weights()])
    return paths, weights


def one(dense, inputs):
    return dense()(inputs)


def softmax(logits):
    raised = np.exp(logits)
    return raised / raised.sum(axis=1, keepdims=True)


def test_logits_are_averaged_as_probabilities(tmp_path):
    paths, weights = saved(tmp_path, one)
    logits = [X @ kernel + bias for kernel, bias in weights]
    found = ensemble(paths).predict(X, activation="softmax", verbose=0)
    expected = np.mean([softmax(each) for each in logits], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == "float32"
    assert np.abs(expected - softmax(np.mean(logits, axis=0))).max() > 0.05
    found = ensemble(paths).predict(X, verbose=0)
    np.testing.assert_allclose(found, np.mean(logits, axis=0), rtol=1e-4, atol=1e-6)


def test_weights_say_how_much_each_counts(tmp_path):
    paths, weights = saved(tmp_path, one)
    logits = [X @ kernel + bias for kernel, bias in weights]
    weighted = ensemble(paths, weights=(3, 0, 1))
    expected = 0.75 * logits[0] + 0.25 * logits[2]
    np.testing.assert_allclose(
        weighted.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-6
    )
    assert weighted.weights == (0.75, 0, 0.25)


def test_outputs_may_be_any_nest_and_of_any_float(tmp_path):
    def two(dense, inputs):
        return {"a": dense(name="a")(inputs), "b": [dense(name="b")(inputs)]}

    paths, weights = saved(tmp_path, two, dtype="float16")
    found = ensemble(paths).predict(X, activation="sigmoid", verbose=0)
    assert found.keys() == {"a", "b"}
    for place, output in enumerate([found["a"], *found["b"]]):
        pairs = [each[2 * place : 2 * place + 2] for each in weights]
        expected = np.mean([1 / (1 + np.exp(-(X @ k + b))) for k, b in pairs], axis=0)
        np.testing.assert_allclose(output, expected, atol=4e-3)
        assert output.dtype == "float16"


def test_the_mean_of_models_that_agree_is_to_the_bit_what_they_say(tmp_path):
    paths, _ = saved(tmp_path, one, count=1)
    alone = keras.saving.load_model(paths[0]).predict(X, verbose=0)
    assert np.array_equal(ensemble(paths * 3).predict(X, verbose=0), alone)


def test_data_may_be_whatever_each_model_can_go_through_anew(tmp_path):
    paths, _ = saved(tmp_path, one)
    expected = ensemble(paths).predict(X, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(48)
    found = ensemble(paths).predict(dataset, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="`x` of Ensemble must be data that each model"):
        ensemble(paths).predict(iter([X]), verbose=0)
    alone = ensemble(paths[:1]).predict((part for part in [(X,)]), verbose=0)
    assert alone.shape == expected.shape


def test_one_model_at_a_time_is_in_memory(tmp_path, monkeypatch):
    paths, _ = saved(tmp_path, one)
    plain, loaded, alive = keras.saving.load_model, [], []

    def load(*args, **kwargs):
        alive.append(sum(model() is not None for model in loaded))
        loaded.append(weakref.ref(model := plain(*args, **kwargs)))
        return model

    monkeypatch.setattr(keras.saving, "load_model", load)
    ensemble(paths).predict(X, verbose=0)
    assert alive == [0, 0, 0]


def test_loading_takes_nothing_from_the_generators_of_chance(tmp_path):
    paths, _ = saved(tmp_path, one)
    random.seed(3)
    expected = random.random()
    random.seed(3)
    ensemble(paths).predict(X, verbose=0)
    assert len(ensemble(paths).models()) == 3
    assert random.random() == expected


def test_models_that_disagree_are_refused_by_name(tmp_path):
    paths, _ = saved(tmp_path, one, count=2)
    (tmp_path / "other").mkdir()
    others, _ = saved(tmp_path / "other", one, count=1, width=1)
    sentence = rf"`paths` .* like the first float32.128, 4.; {others[0]} gives float32.12"
    with pytest.raises(ValueError, match=sentence):
        ensemble([*paths, *others]).predict(X, verbose=0)


def test_what_is_no_floating_point_number_has_no_mean(tmp_path):
    def classes(dense, inputs):
        return keras.ops.argmax(dense()(inputs), axis=-1)

    paths, _ = saved(tmp_path, classes)
    with pytest.raises(ValueError, match=f"floating-point numbers; {paths[0]} gives int"):
        ensemble(paths).predict(X, verbose=0)


def test_files_and_weights_are_checked_at_construction(tmp_path):
    paths, _ = saved(tmp_path, one, count=2)
    for given, sentence in {
        (): "`paths` of Ensemble must be at least one file",
        str(paths[0]): "`paths` of Ensemble must be several, in a list",
        (paths[0], tmp_path / "no.keras"): "must be files that exist. .*/no.keras'$",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            ensemble(given)
    for weights in ([1], [1, -1], [0, 0]):
        with pytest.raises(ValueError, match="must be 2 numbers of at least 0, not all"):
            ensemble(paths, weights=weights)
    with pytest.raises(ValueError, match="`weights` of Ensemble must be a finite number"):
        ensemble(paths, weights=[1, float("nan")])

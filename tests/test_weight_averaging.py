"""Averages against NumPy's, of weights that are seen as they are trained."""

import keras
import numpy as np
import pytest
from reference import SGD, STEPS, Report, Stop, X, Y, as_numpy, make_model

from keras_sched import callbacks

pytestmark = pytest.mark.every_backend
EPOCHS = 4
EACH = STEPS // EPOCHS
EXECUTIONS = (1,) if keras.backend.backend() == "torch" else (1, 2)


def raw_weights(epochs=EPOCHS, **compiled):
    """The weights after each step of a run without averaging, and before the first."""
    model = make_model(**compiled)
    seen = [model.get_weights()[0]]
    for step in range(epochs * EACH):
        rows = slice(step * 8, (step + 1) * 8)
        model.train_on_batch(X[rows], Y[rows])
        seen.append(model.get_weights()[0])
    return np.array(seen, "float64")


class Seen(keras.callbacks.Callback):
    """Keeps the weights at the beginning of each validation and at the end of epochs."""

    def on_train_begin(self, logs=None):
        self.validated, self.trained = [], []

    def on_test_batch_begin(self, batch, logs=None):
        self.validated.append(self.model.get_weights()[0])

    def on_epoch_end(self, epoch, logs=None):
        self.trained.append(self.model.get_weights()[0])


def data(epochs=EPOCHS):
    """Each epoch other rows, all of them in order."""

    class Rows(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.epoch = 0

        def __len__(self):
            return EACH

        def __getitem__(self, step):
            step += self.epoch * EACH
            return X[step * 8 : (step + 1) * 8], Y[step * 8 : (step + 1) * 8]

        def on_epoch_end(self):
            self.ended = getattr(self, "ended", 0) + 1

    return Rows()


class NextEpoch(keras.callbacks.Callback):
    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def on_epoch_begin(self, epoch, logs=None):
        self.rows.epoch = epoch


def fit(averaging, *more, model=None, epochs=EPOCHS, **arguments):
    model, rows, seen = model or make_model(), data(), Seen()
    listed = [NextEpoch(rows), averaging, seen, *more]
    how = dict(epochs=epochs, verbose=0, shuffle=False, callbacks=listed)
    how |= dict(validation_data=(X, Y), validation_batch_size=len(X)) | arguments
    history = model.fit(rows, **how)
    return model, seen, history


def ema(weights, decay, warmup, start=0):
    """The averages after each step from `start` on, one step after another."""
    average, found = weights[start], []
    for number, now in enumerate(weights[start + 1 :], 1):
        kept = min(decay, (1 + number) / (10 + number)) if warmup else decay
        average = kept * average + (1 - kept) * now
        found.append(average)
    return np.array(found)


@pytest.mark.parametrize("executions", EXECUTIONS)
@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("warmup", [True, False])
def test_ema_is_evaluated_and_left_and_the_raw_weights_are_trained(
    executions, jit, warmup
):
    if jit and keras.backend.backend() == "torch":
        pytest.skip("torch compiles by another switch")
    how = dict(jit_compile=jit, steps_per_execution=executions)
    raw = raw_weights()
    averaging = callbacks.WeightAveraging(decay=0.8, warmup=warmup)
    model, seen, _ = fit(averaging, model=make_model(**how))
    expected = ema(raw, 0.8, warmup)[EACH - 1 :: EACH]
    np.testing.assert_allclose(seen.validated, expected, rtol=1e-5)
    np.testing.assert_allclose(seen.trained, raw[EACH::EACH], rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], expected[-1], rtol=1e-5)


def test_swa_is_the_mean_over_the_ends_of_epochs():
    ends = raw_weights()[EACH::EACH]
    model, seen, _ = fit(callbacks.WeightAveraging("swa", start_epoch=1))
    expected = [ends[0], *(ends[1 : n + 1].mean(0) for n in range(1, EPOCHS))]
    np.testing.assert_allclose(seen.validated, expected, rtol=1e-5)
    np.testing.assert_allclose(seen.trained, ends, rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], ends[1:].mean(0), rtol=1e-5)


def test_without_validation_it_is_the_same_mean():
    ends = raw_weights()[EACH::EACH]
    model, _, _ = fit(callbacks.WeightAveraging("swa"), validation_data=None)
    np.testing.assert_allclose(model.get_weights()[0], ends.mean(0), rtol=1e-5)


def test_ema_begins_with_the_epoch_it_is_told():
    raw = raw_weights()
    averaging = callbacks.WeightAveraging(decay=0.8, start_epoch=2)
    _, seen, _ = fit(averaging)
    np.testing.assert_allclose(seen.validated[:2], raw[EACH::EACH][:2], rtol=1e-5)
    expected = ema(raw, 0.8, warmup=True, start=2 * EACH)
    np.testing.assert_allclose(seen.validated[2:], expected[EACH - 1 :: EACH], rtol=1e-5)


def test_accumulated_gradients_are_one_update():
    built = SGD | {"gradient_accumulation_steps": 2}
    optimizer = keras.optimizers.SGD(**built)
    model = make_model()
    model.compile(optimizer, "mse")
    raw = []
    again = make_model()
    again.compile(keras.optimizers.SGD(**built), "mse")
    raw.append(again.get_weights()[0])
    for step in range(STEPS):
        rows = slice(step * 8, (step + 1) * 8)
        again.train_on_batch(X[rows], Y[rows])
        if step % 2:
            raw.append(again.get_weights()[0])
    model, _, _ = fit(callbacks.WeightAveraging(decay=0.8), model=model)
    expected = ema(np.array(raw, "float64"), 0.8, warmup=True)[-1]
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)


def test_an_early_stop_leaves_the_average_too():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    raw = raw_weights(2)
    model, _, _ = fit(callbacks.WeightAveraging(decay=0.8), Stop())
    expected = ema(raw, 0.8, warmup=True)[-1]
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)


def test_predict_and_evaluate_outside_change_nothing():
    model, _, _ = fit(callbacks.WeightAveraging(decay=0.8))
    before = model.get_weights()[0]
    model.predict(X, verbose=0)
    model.evaluate(X, Y, verbose=0)
    assert np.array_equal(model.get_weights()[0], before)


def test_a_fit_after_it_is_one_without_it():
    model, _, _ = fit(callbacks.WeightAveraging(decay=0.8))
    again = make_model()
    again.optimizer.build(again.trainable_variables)
    for variable, value in zip(
        again.variables + again.optimizer.variables,
        model.variables + model.optimizer.variables,
    ):
        variable.assign(as_numpy(value))
    for one in (model, again):
        one.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    assert np.array_equal(model.get_weights()[0], again.get_weights()[0])


def test_the_optimizer_has_no_variables_more_and_the_model_saves_as_without():
    counts = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            counts.append(len(self.model.optimizer.variables))

    model = make_model()
    model.optimizer.build(model.trainable_variables)
    before = len(model.optimizer.variables)
    fit(callbacks.WeightAveraging(), Count(), model=model)
    assert counts == [before] * EPOCHS


# With batch normalization.


def normalizing_model():
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.0),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def test_statistics_are_those_of_the_averaged_weights():
    averaging = callbacks.WeightAveraging("swa", batch_norm_data=X, batch_size=32)
    model, _, _ = fit(averaging, model=normalizing_model())
    kernel, bias = model.layers[0].get_weights()
    batches = (X @ kernel + bias).reshape(4, 32, 4)
    _, _, mean, variance = model.layers[1].get_weights()
    np.testing.assert_allclose(mean, batches.mean((0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(variance, batches.var(1).mean(0), rtol=1e-4)


def test_data_of_any_kind_give_the_same_statistics():
    import tensorflow as tf

    pairs = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
    found = []
    for given in (X, [X], pairs):
        averaging = callbacks.WeightAveraging(batch_norm_data=given, batch_size=32)
        keras.utils.set_random_seed(0)
        model, _, _ = fit(averaging, model=normalizing_model())
        found.append(model.layers[1].get_weights())
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-6)


def test_the_pass_disturbs_no_training():
    seen = []
    for given in (None, X):
        averaging = callbacks.WeightAveraging(batch_norm_data=given)
        _, one, _ = fit(averaging, model=normalizing_model())
        seen.append(one.trained)
    assert np.array_equal(*seen)


def test_without_data_the_statistics_are_averaged():
    averaging = callbacks.WeightAveraging("swa")
    statistics = []

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            statistics.append(self.model.layers[1].get_weights()[2])

    model, _, _ = fit(averaging, Keep(), model=normalizing_model())
    expected = np.mean(statistics, axis=0)
    np.testing.assert_allclose(
        model.layers[1].get_weights()[2], expected, rtol=1e-5, atol=1e-7
    )


def test_data_without_batch_normalization_are_refused():
    with pytest.raises(ValueError, match="`batch_norm_data` of .* must be None for a"):
        fit(callbacks.WeightAveraging(batch_norm_data=X))


# With checkpoints.


def normalizing_fit(folder, method, order, *more, given=None, **how):
    averaging = callbacks.WeightAveraging(
        method, decay=0.8, start_epoch=1, batch_norm_data=given
    )
    how = dict(verbose=0, save_every=1, monitor="val_loss", restore_best=False) | how
    checkpoint = callbacks.CheckpointEarlyStopping(folder, **how)
    listed = [averaging, checkpoint][::order]
    fitted = fit(listed[0], *listed[1:], *more, model=normalizing_model())
    return *fitted, checkpoint


@pytest.mark.parametrize("given", [None, X], ids=["averaged", "estimated"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("method", ["ema", "swa"])
def test_a_resumed_run_ends_as_the_straight_one_to_the_bit(
    tmp_path, method, order, given
):
    straight, _, history, _ = normalizing_fit(
        tmp_path / "straight", method, order, given=given
    )
    for place in ((1, 2), (2, 0), (3, 3)):
        with pytest.raises(KeyboardInterrupt):
            normalizing_fit(
                tmp_path / "crashed", method, order, Stop(*place), given=given
            )
    resumed, _, told, _ = normalizing_fit(
        tmp_path / "crashed", method, order, given=given
    )
    for one, other in zip(straight.variables, resumed.variables):
        assert np.array_equal(as_numpy(one), as_numpy(other))
    assert told.history == history.history


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_saved_is_what_was_evaluated(tmp_path, order):
    _, _, history, checkpoint = normalizing_fit(tmp_path, "swa", order, given=X)
    best = keras.saving.load_model(checkpoint.best_path)
    assert best.evaluate(X, Y, batch_size=len(X), verbose=0) == pytest.approx(
        min(history.history["val_loss"]), rel=1e-6
    )


@pytest.mark.parametrize("order", [1, -1])
def test_the_best_average_is_restored(tmp_path, order):
    report = Report([4, 1, 2, 3], "val_loss")
    averaging = callbacks.WeightAveraging("swa")
    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, verbose=0)
    model, _, _ = fit(report, *[averaging, checkpoint][::order])
    ends = raw_weights()[EACH::EACH]
    np.testing.assert_allclose(model.get_weights()[0], ends[:2].mean(0), rtol=1e-5)


def test_two_averages_are_refused(tmp_path):
    averaging = callbacks.WeightAveraging()
    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss")
    with pytest.raises(ValueError, match="must be at most one in a fit"):
        fit(averaging, callbacks.WeightAveraging(), checkpoint)


def test_a_run_with_averages_is_not_gone_on_with_without_them(tmp_path):
    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, monitor="loss", verbose=0)
    with pytest.raises(KeyboardInterrupt):
        fit(callbacks.WeightAveraging(), checkpoint, Stop(2, 0))
    model = make_model()
    before = model.get_weights()[0]
    with pytest.raises(ValueError, match="must be among the callbacks, as in the run in"):
        model.fit(X, Y, verbose=0, callbacks=[checkpoint])
    assert np.array_equal(model.get_weights()[0], before)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"method": "mean"}, "`method` of WeightAveraging must be one of 'ema', 'swa'"),
        ({"decay": 1}, "`decay` of WeightAveraging must be at least 0, below 1"),
        ({"start_epoch": -1}, "`start_epoch` of .* must be an integer of at least 0"),
        ({"batch_size": 0}, "`batch_size` of .* must be an integer of at least 1"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        callbacks.WeightAveraging(**arguments)


def test_a_rollback_to_a_file_without_averages_begins_them_anew(tmp_path):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 0:
                kernel = self.model.trainable_variables[0]
                kernel.assign(np.full(kernel.shape, np.nan))

    averaging = callbacks.WeightAveraging(decay=0.8)
    how = dict(monitor="loss", verbose=0, on_nan="rollback", restore_best=False)
    checkpoint = callbacks.CheckpointEarlyStopping(tmp_path, **how)
    model, _, history = fit(averaging, checkpoint, Spoil())
    assert np.isfinite(history.history["val_loss"][1:]).all()
    assert np.isfinite(model.get_weights()[0]).all()


def test_a_validation_that_was_broken_off_leaves_the_raw_weights_to_the_next_fit():
    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_test_batch_begin(self, batch, logs=None):
            if self.epoch == 1:
                raise KeyboardInterrupt

    averaging, model = callbacks.WeightAveraging("swa"), make_model()
    with pytest.raises(KeyboardInterrupt):
        fit(averaging, Break(), model=model)
    seen = []
    first = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(model.get_weights()[0])
    )
    fit(averaging, first, model=model, epochs=1)
    np.testing.assert_allclose(seen[0], raw_weights()[2 * EACH], rtol=1e-5)


def test_data_that_are_used_up_are_refused():
    with pytest.raises(ValueError, match="`batch_norm_data` of .* again and again"):
        callbacks.WeightAveraging(batch_norm_data=iter([X]))

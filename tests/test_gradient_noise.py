"""Gradient noise, seen in the weights: where the gradient is 0 they move by it alone."""

import keras
import numpy as np
import pytest
from reference import as_numpy, drawn
from scipy import stats

from keras_sched import callbacks, schedule_hyperparameters

pytestmark = pytest.mark.every_backend
STEPS = 8
SIZE = 200


def make_model(optimizer=None, **compiled):
    """Two layers of SIZE by SIZE weights, which no input but 0 ever reaches."""
    layers = [keras.layers.Dense(SIZE, use_bias=False) for _ in range(2)]
    model = keras.Sequential([keras.Input((SIZE,)), *layers])
    model.compile(optimizer or keras.optimizers.SGD(1.0), "mse", **compiled)
    return model


class Recorder(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.weights = [self.model.get_weights()]

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self.model.get_weights())


def moved(model, callback, steps=STEPS, inputs=0.0, **arguments):
    """Returns by how much each step moved each variable: steps x variables x shape."""
    x = np.full((steps * 2, SIZE), inputs, "float32")
    recorder = Recorder()
    fit = dict(batch_size=2, shuffle=False, verbose=0) | arguments
    model.fit(x, x, callbacks=[callback, recorder], **fit)
    return np.diff(np.array(recorder.weights, "float64"), axis=0)


@pytest.mark.parametrize("eta, gamma", [(0.3, 0.55), (1.0, 2.0), (0.01, 0.0)])
def test_has_the_variance_of_the_paper_at_every_step(eta, gamma):
    noise = moved(make_model(), callbacks.GradientNoise(eta, gamma))
    count = noise[0].size
    for step in range(STEPS):
        variance = eta / (1 + step) ** gamma
        scaled = noise[step].ravel() / variance**0.5
        assert scaled.mean() == pytest.approx(0, abs=5 / count**0.5)
        assert scaled.var() == pytest.approx(1, abs=5 * (2 / count) ** 0.5)
        assert stats.kstest(scaled, "norm").pvalue > 1e-4


def test_weights_variables_steps_and_seeds_have_noise_of_their_own():
    one = moved(make_model(), callbacks.GradientNoise(1.0, 0.0, seed=1), steps=3)
    two = moved(make_model(), callbacks.GradientNoise(1.0, 0.0, seed=2), steps=3)
    rows = np.concatenate([one, two]).reshape(2 * 3 * 2 * 4, -1)  # Variables in quarters.
    between = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(between).max() < 5 / rows.shape[1] ** 0.5


def test_is_the_same_for_one_seed_however_it_is_compiled():
    ways = [{"run_eagerly": True}, {"jit_compile": False}, {"jit_compile": True}]
    if keras.backend.backend() != "torch":
        ways.append({"jit_compile": True, "steps_per_execution": 4})
    for way in ways:
        model = make_model(**way)
        before = model.get_weights()
        callback = callbacks.GradientNoise(1.0, gamma=0.0, seed=7)
        x = np.zeros((8, SIZE))
        model.fit(x, x, 2, verbose=0, callbacks=callback)
        for index, (start, end) in enumerate(zip(before, model.get_weights())):
            expected = sum(drawn(step, 7, index, start.shape) for step in range(4))
            np.testing.assert_allclose(start - end, expected, atol=2e-5)


def test_comes_after_clipping():
    optimizer = keras.optimizers.SGD(1.0, global_clipnorm=1e-4)
    noise = moved(make_model(optimizer), callbacks.GradientNoise(1.0), 1, inputs=9.0)
    assert noise.std() == pytest.approx(1, rel=0.02)


def test_comes_after_the_loss_scale_is_taken_out():
    inner = keras.optimizers.SGD(1.0)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)
    noise = moved(make_model(optimizer), callbacks.GradientNoise(1.0), 1)
    assert noise.std() == pytest.approx(1, rel=0.02)


def test_comes_once_an_accumulated_update_and_counts_updates():
    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=4)
    noise = moved(make_model(optimizer), callbacks.GradientNoise(1.0, gamma=2.0))
    stddevs = noise.std(axis=(1, 2, 3))
    assert stddevs == pytest.approx([0, 0, 0, 1, 0, 0, 0, 0.5], rel=0.02)


def test_a_run_in_two_parts_draws_what_the_straight_run_draws():
    straight = moved(make_model(), callbacks.GradientNoise(), steps=2, epochs=4)
    model = make_model()
    first = moved(model, callbacks.GradientNoise(), steps=2, epochs=2)
    later = moved(model, callbacks.GradientNoise(), 2, epochs=4, initial_epoch=2)
    together = np.concatenate([first, later])
    np.testing.assert_allclose(together, straight, atol=2e-6)


def test_a_second_fit_begins_with_the_first_variance_but_draws_anew():
    model, callback = make_model(), callbacks.GradientNoise(1.0, gamma=2.0)
    first, second = moved(model, callback, 2), moved(model, callback, 2)
    for noise in (first, second):
        assert noise.std(axis=(1, 2, 3)) == pytest.approx([1, 0.5], rel=0.02)
    correlation = np.corrcoef(first[0].ravel(), second[0].ravel())[0, 1]
    assert abs(correlation) < 5 / first[0].size ** 0.5


def test_reaches_the_rows_of_an_embedding_that_no_batch_has():
    table = keras.layers.Embedding(50, 40)
    model = keras.Sequential([keras.Input((1,), dtype="int32"), table])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = model.get_weights()[0]
    callback = callbacks.GradientNoise(1.0)
    model.fit(np.zeros((2, 1)), before[[0, 0], None], verbose=0, callbacks=[callback])
    change = model.get_weights()[0] - before
    np.testing.assert_allclose(change, -drawn(0, shape=(50, 40)), atol=1e-5)


def test_leaves_low_precision_weights_their_dtype():
    layer = keras.layers.Dense(SIZE, use_bias=False, dtype="bfloat16")
    model = keras.Sequential([keras.Input((SIZE,), dtype="bfloat16"), layer])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    callback = callbacks.GradientNoise(1.0)
    x = np.zeros((2, SIZE), "float32")
    before = as_numpy(keras.ops.cast(layer.kernel, "float32"))
    model.fit(x, x, verbose=0, callbacks=[callback])
    assert layer.kernel.dtype == "bfloat16"
    change = as_numpy(keras.ops.cast(layer.kernel, "float32")) - before
    assert change.std() == pytest.approx(1, rel=0.02)


def test_any_schedule_may_be_its_standard_deviation():
    model = make_model()
    points = {0: 0.0, 1: 2.0, 2: 0.5}
    with schedule_hyperparameters(
        model.optimizer,
        gradient_noise=lambda step: sum(
            stddev * keras.ops.cast(keras.ops.equal(step, at), "float32")
            for at, stddev in points.items()
        ),
        seed=5,
    ):
        noise = moved(model, keras.callbacks.Callback(), steps=3)
    assert noise.std(axis=(1, 2, 3)) == pytest.approx([0, 2, 0.5], rel=0.02)
    np.testing.assert_allclose(noise[1, 0], -2 * drawn(1, 5, 0, (SIZE, SIZE)), atol=1e-5)

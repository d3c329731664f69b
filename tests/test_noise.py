"""The laws of the noise: its mean, its variance, and of what it is independent."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from keras_sched import layers
from keras_sched.layers import (
    AdditiveGaussianNoise,
    MultiplicativeGaussianNoise,
    SignalDependentGaussianNoise,
)
from keras_sched.schedules import LinearDecay

pytestmark = pytest.mark.every_backend

COUNT = 200_000
kinds = pytest.mark.parametrize("distribution", ["normal", "uniform"])


def noise(layer, images):
    images = np.asarray(images, "float32")
    return np.asarray(ops.convert_to_numpy(layer.augment(images)), "float64") - images


@kinds
def test_mean_and_variance_are_those_asked_for(distribution):
    layer = AdditiveGaussianNoise(3.0, distribution=distribution, seed=1)
    found = noise(layer, np.full((2, COUNT), 7.0))
    assert found.mean() == pytest.approx(0, abs=5 * 3 / np.sqrt(2 * COUNT))
    assert found.var() == pytest.approx(9, rel=5 * np.sqrt(2 / (2 * COUNT)))


def test_normal_noise_is_normal():
    found = noise(AdditiveGaussianNoise(2.0, seed=2), np.zeros((2, COUNT)))
    assert scipy.stats.kstest(found.ravel() / 2, "norm").pvalue > 1e-3


def test_uniform_noise_has_256_values_of_variance_one():
    layer = AdditiveGaussianNoise(1.0, distribution="uniform", seed=3)
    values, counts = np.unique(noise(layer, np.zeros((2, COUNT))), return_counts=True)
    assert len(values) == 256
    assert np.diff(values) == pytest.approx(
        np.full(255, np.diff(values).mean()), rel=1e-4
    )
    assert np.mean(values**2) == pytest.approx(1, rel=1e-6)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@kinds
def test_every_number_is_independent_of_the_others(distribution):
    layer = AdditiveGaussianNoise(1.0, distribution=distribution, seed=4)
    first, second = (noise(layer, np.zeros((2, COUNT))) for _ in range(2))
    pairs = {
        "images": (first[0], first[1]),
        "draws": (first[0], second[0]),
        "neighbours": (first[0, 1:], first[0, :-1]),
        "halves": (first[0, ::2], first[0, 1::2]),
        "squares": (first[0, ::2] ** 2, first[0, 1::2] ** 2),
    }
    for name, (one, other) in pairs.items():
        found = np.corrcoef(one, other)[0, 1]
        assert abs(found) < 5 / np.sqrt(len(one)), name


def test_seeds_that_are_near_each_other_draw_apart():
    streams = [
        noise(AdditiveGaussianNoise(1.0, seed=s), np.zeros((1, 999))) for s in range(9)
    ]
    found = np.corrcoef(np.concatenate(streams)) - np.eye(9)
    assert np.abs(found).max() < 6 / np.sqrt(999)


def test_multiplicative_noise_is_in_proportion_to_the_signal():
    images = np.array([[0.0], [1.0], [-8.0]]) * np.ones(COUNT)
    found = noise(MultiplicativeGaussianNoise(0.25, seed=5), images)
    assert found.std(1) == pytest.approx([0, 0.25, 2], rel=0.01)


def test_signal_dependent_noise_has_the_variance_of_photons_and_of_reading():
    images = np.array([[-5.0], [0.0], [4.0], [60.0]]) * np.ones(COUNT)
    found = noise(SignalDependentGaussianNoise(0.5, 1.5, seed=6), images)
    assert found.var(1) == pytest.approx([2.25, 2.25, 4.25, 32.25], rel=0.02)


def test_a_range_draws_the_deviation_of_each_image():
    found = noise(AdditiveGaussianNoise((2.0, 6.0), seed=7), np.zeros((2000, 500))).std(1)
    assert scipy.stats.kstest(found, "uniform", (2, 4)).pvalue > 1e-4
    assert 1.7 < found.min() < 2.1
    assert 5.9 < found.max() < 6.8


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "bfloat16"])
def test_rounding_moves_no_mean(dtype):
    images = ops.cast(np.full((2, COUNT), 100), dtype)
    layer = AdditiveGaussianNoise(0.8, seed=8)
    found = np.asarray(ops.convert_to_numpy(ops.cast(layer.augment(images), "float32")))
    assert found.mean() == pytest.approx(100, abs=5 * 0.9 / np.sqrt(2 * COUNT))
    rounded = {"uint8": 1 / 12, "int32": 1 / 12, "float16": 0.0005, "bfloat16": 0.03}
    assert found.var() == pytest.approx(0.64 + rounded[dtype], rel=0.03)


def test_values_stay_in_their_range_and_in_that_of_the_dtype():
    images = ops.cast(np.tile([0, 255, 10, 240], (2, 999)), "uint8")
    wild = np.asarray(ops.convert_to_numpy(AdditiveGaussianNoise(500.0).augment(images)))
    assert {wild.min(), wild.max()} == {0, 255}
    assert np.mean(wild[:, ::4] == 0) == pytest.approx(0.5, abs=0.1)
    limits = dict(value_range=(-0.5, 1.5))
    floats = noise(AdditiveGaussianNoise(9.0, **limits), np.zeros((2, 999)))
    assert (floats.min(), floats.max()) == (-0.5, 1.5)
    whole = ops.cast([[2**31 - 1, -(2**31)]], "int32")
    kept = np.asarray(ops.convert_to_numpy(AdditiveGaussianNoise(1e8).augment(whole)))
    assert kept[0, 0] > 0 > kept[0, 1]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_schedule_anneals_the_noise_in_fit_without_tracing_anew(jit_compile):
    traced = []

    class Counts(keras.layers.Layer):
        def call(self, inputs):
            traced.append(1)
            return inputs

    layer = AdditiveGaussianNoise(LinearDecay(10.0, 10), seed=9)
    model = keras.Sequential([keras.Input((400,)), layer, Counts()])
    model.compile("sgd", "mse", jit_compile=jit_compile)
    zeros, counts = np.zeros((64, 400), "float32"), []
    count = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: counts.append(len(traced))
    )
    given = dict(batch_size=64, epochs=10, verbose=0, callbacks=[count])
    losses = model.fit(zeros, zeros, **given).history["loss"]
    assert losses == pytest.approx([(10 - step) ** 2 for step in range(10)], rel=0.05)
    per_epoch = np.diff(counts)
    backend = keras.backend.backend()
    eager = backend == "torch" or (backend == "jax" and not jit_compile)
    assert set(per_epoch) == {int(eager)}


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: AdditiveGaussianNoise(-1), "`stddev` of .* must be at least 0"),
        (
            lambda: AdditiveGaussianNoise((2, 1)),
            "a number, a .low, high. pair or",
        ),
        (
            lambda: AdditiveGaussianNoise((1, 2, 3)),
            "a number, a .low, high. pair or",
        ),
        (lambda: AdditiveGaussianNoise((-1, 2)), "`stddev` of .* must be at least 0"),
        (lambda: AdditiveGaussianNoise("1"), "`stddev` of .* must be a finite number"),
        (lambda: AdditiveGaussianNoise(np.nan), "`stddev` of .* must be a finite number"),
        (lambda: AdditiveGaussianNoise(1, value_range=3), "None, or a low and a higher"),
        (lambda: AdditiveGaussianNoise(1, value_range=(1, 1)), "None, or a low and a h"),
        (lambda: AdditiveGaussianNoise(1, distribution="cauchy"), "one of 'normal', 'u"),
        (lambda: SignalDependentGaussianNoise(-1, 1), "`gain` of .* at least 0"),
        (lambda: layers.MixUp(-0.1), "`alpha` of MixUp must be at least 0"),
        (
            lambda: layers.CutMix(1, probability=(0, 2)),
            "`probability` of CutMix must",
        ),
    ],
)
def test_what_is_no_amount_is_refused_in_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()

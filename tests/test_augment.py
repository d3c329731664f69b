"""Layers in a pipeline: chance is a function of seed, pass and place, on any backend."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sched import layers
from keras_sched.schedules import LinearDecay

pytestmark = pytest.mark.every_backend

IMAGES = np.random.default_rng(0).integers(1, 200, (32, 6, 5, 3)).astype("uint8")
NUMBERS = np.arange(32) % 4
EVERY = [
    layers.Cutout(3, seed=9),
    layers.RandomErasing(),
    layers.MixUpOrCutMix(1.0, probability=(0.5, 1)),
    layers.AdditiveGaussianNoise((2, 9), distribution="uniform"),
    layers.SignalDependentGaussianNoise(0.5, 2),
]


def batches(*parts, size=4):
    parts = parts[0] if len(parts) == 1 else parts
    return tf.data.Dataset.from_tensor_slices(parts).batch(size)


def arrays(dataset):
    return [[np.array(part) for part in tf.nest.flatten(batch)] for batch in dataset]


def equal(one, other):
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))


def run(seed=3, **given):
    data = batches(IMAGES, NUMBERS)
    return layers.augment(data, EVERY, seed=seed, num_classes=4, **given)


def test_is_the_same_in_every_run_for_any_number_of_calls():
    first = arrays(run())
    assert equal(first, arrays(run()))
    for calls in (1, 8):
        assert equal(first, arrays(run(num_parallel_calls=calls)))
    assert not equal(first, arrays(run(seed=4)))


def test_every_pass_draws_anew_and_a_run_goes_on_at_its_epoch():
    passes = run()
    first, second, third = (arrays(passes) for _ in range(3))
    assert not equal(first, second)
    assert not equal(second, third)
    assert equal(third, arrays(run(epoch=2)))


def test_batches_and_layers_draw_each_its_own():
    same = batches(np.repeat(IMAGES[:1], 64, 0), size=8)
    noise = layers.AdditiveGaussianNoise(30.0)
    drawn = [part - 0.0 for (part,) in arrays(layers.augment(same, noise))]
    assert len({batch.tobytes() for batch in drawn}) == 8
    zeros = batches(np.zeros((4, 999), "float32"))
    ((once,),) = arrays(layers.augment(zeros, [noise]))
    ((twice,),) = arrays(layers.augment(zeros, [noise, noise]))
    assert np.corrcoef(once.ravel(), (twice - once).ravel())[0, 1] == pytest.approx(
        0, abs=0.1
    )
    assert twice.var() == pytest.approx(2 * once.var(), rel=0.1)


def test_labels_are_mixed_as_pixels_are():
    images = np.ones((4, 7, 5, 1), "float32") * np.eye(4)[:, None, None]
    data = batches(images, np.arange(4)).repeat(5)
    mixers = [layers.CutMix(), layers.MixUp(1.0)]
    for mixed, labels in arrays(layers.augment(data, mixers, num_classes=4)):
        assert labels == pytest.approx(mixed.mean((1, 2)), abs=1e-6)
        assert np.abs(labels - np.eye(4)).max() > 0.01


def test_weights_go_with_their_labels():
    images = np.ones((4, 7, 5, 1), "float32") * np.eye(4)[:, None, None]
    weights = np.array([1.0, 2, 3, 0], "float32")
    data = batches(images, np.eye(4, dtype="float32"), weights)
    ((mixed, labels, found),) = arrays(layers.augment(data, layers.CutMix(seed=1)))
    shares = mixed.mean((1, 2))
    assert found == pytest.approx(shares @ weights, abs=1e-6)
    assert labels * found[:, None] == pytest.approx(shares * weights, abs=1e-6)


@pytest.mark.parametrize("drop_remainder", [False, True])
def test_structure_length_dtype_and_the_last_batch_are_what_they_were(drop_remainder):
    data = tf.data.Dataset.from_tensor_slices(IMAGES).batch(5, drop_remainder)
    found = layers.augment(data, EVERY[:2])
    assert found.element_spec == data.element_spec
    assert len(found) == len(data)
    assert [batch.shape for batch in found] == [batch.shape for batch in data]
    pair = tf.data.Dataset.zip(data, data.map(lambda x: x[:, 0, 0, 0]))
    assert layers.augment(pair, EVERY[:2]).element_spec == pair.element_spec
    endless = layers.augment(data.repeat(), EVERY[0])
    assert next(iter(endless.skip(9))).shape == (5, 6, 5, 3)


def test_a_schedule_sees_the_place_of_the_batch():
    data = batches(np.zeros((40, 2000), "float32"))
    noise = layers.AdditiveGaussianNoise(LinearDecay(10.0, 10))
    found = [batch.std() for (batch,) in arrays(layers.augment(data, noise))]
    assert found == pytest.approx([10 - step for step in range(10)], rel=0.05)


def test_draws_what_the_laws_say_inside_a_pipeline_too():
    ones = batches(np.ones((4000, 9, 8, 1), "uint8"), size=1000)
    cut = layers.Cutout(3, border="inside")
    holes = np.concatenate([batch for (batch,) in arrays(layers.augment(ones, cut))]) == 0
    assert set(holes.sum((1, 2, 3))) == {9}
    assert len({hole.tobytes() for hole in holes}) == 7 * 6


def test_fit_takes_it():
    data = run()
    model = keras.Sequential([keras.Input((6, 5, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(4, "softmax"))
    model.compile("sgd", "categorical_crossentropy")
    assert len(model.fit(data, epochs=2, verbose=0).history["loss"]) == 2


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda d: layers.augment(d, []), "`layers` of augment must be augmentation l"),
        (lambda d: layers.augment(d, keras.layers.Dense(1)), "`layers` of augment must"),
        (lambda d: layers.augment(d, EVERY[0], seed=-1), "`seed` of augment must be an"),
        (lambda d: layers.augment(d, EVERY[0], epoch=0.5), "`epoch` of augment must be"),
        (lambda d: layers.augment(d, layers.CutMix()), "`num_classes` of CutMix must be"),
        (
            lambda d: layers.augment(d.map(lambda x, y: {"x": x}), EVERY[0]),
            "`images` of Cutout must be one dense array",
        ),
        (
            lambda d: layers.augment(d.map(lambda x, y: (x, x, y, y)), EVERY[0]),
            "`dataset` of augment must be of images, .images, labels. or .images, lab",
        ),
        (
            lambda d: layers.augment(d.unbatch(), layers.Cutout(2)),
            "must be of rank 4 or 5",
        ),
    ],
)
def test_what_cannot_be_augmented_is_refused_in_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        list(build(batches(IMAGES, NUMBERS)))

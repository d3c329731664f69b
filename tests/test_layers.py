"""One row a layer; every law below then holds for it. Then what each is alone in."""

import collections
import itertools
import json
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_sched import layers
from keras_sched.callbacks import LabelMixing
from keras_sched.layers import Cutout
from keras_sched.schedules import LinearDecay

pytestmark = pytest.mark.every_backend

ROWS = [
    Cutout(3, seed=1),
    Cutout(2, holes=3, fill_value=2, probability=0.75, border="inside", seed=2),
    Cutout(4, data_format="channels_first", seed=3),
    Cutout(5, border="inside", dtype="mixed_float16", seed=4),
    Cutout((2, 5), fill_value=(1, 2, 3, 4, 5, 6, 7, 8), probability=(0.9, 1.0), seed=5),
    layers.RandomErasing(probability=0.9, mask_fill=1, seed=6),
    layers.RandomErasing(
        probability=1, fill_value=(0,) * 8, data_format="channels_first", seed=7
    ),
    layers.MixUp(1.0, seed=8),
    layers.MixUp((0.5, 2.0), probability=0.9, dtype="mixed_bfloat16", seed=9),
    layers.CutMix(seed=10),
    layers.CutMix(LinearDecay(4.0, 99), data_format="channels_first", seed=11),
    layers.MixUpOrCutMix(1.0, switch_probability=0.4, seed=12),
    layers.AdditiveGaussianNoise(5.0, value_range=(0, 255), seed=13),
    layers.AdditiveGaussianNoise((4, 5), distribution="uniform", seed=14),
    layers.MultiplicativeGaussianNoise(LinearDecay(0.5, 99), seed=15),
    layers.SignalDependentGaussianNoise(0.5, 2.0, seed=16),
]
IDS = [f"{type(layer).__name__}-{layer.seed}" for layer in ROWS]
DTYPES = ["uint8", "int32", "float16", "bfloat16", "float32"]
IMAGES = np.random.default_rng(0).integers(3, 200, (4, 8, 8, 8)).astype("float32")
every = pytest.mark.parametrize("layer", ROWS, ids=IDS)
KINDS = {type(layer).__name__: layer for layer in ROWS}
one_of_each = pytest.mark.parametrize("layer", KINDS.values(), ids=KINDS)
FLAT = IMAGES.reshape(4, -1)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@every
@every_dtype
def test_augment_keeps_shape_and_dtype_and_changes_pixels(layer, dtype):
    images = ops.cast(IMAGES, dtype)
    augmented = layer.augment(images)
    assert augmented.shape == images.shape
    assert keras.backend.standardize_dtype(augmented.dtype) == dtype
    assert not np.array_equal(_array(augmented), _array(images))


@every
def test_augment_gives_back_what_came_in_the_same_order(layer):
    labels, weights = np.eye(4, dtype="float16"), np.array([1.0, 2, 3, 4], "float32")
    images = _array(_fresh(layer).augment(IMAGES))
    for given in [(labels,), (labels, weights)]:
        found = _fresh(layer).augment(IMAGES, *given)
        assert np.array_equal(_array(found[0]), images)
        for one, other in zip(given, found[1:], strict=True):
            assert one.dtype == keras.backend.standardize_dtype(other.dtype)
            assert layer.mixes_labels or one is other


@every
def test_augment_leaves_the_array_it_was_given(layer):
    images = IMAGES.copy()
    layer.augment(images)
    assert np.array_equal(images, IMAGES)


@one_of_each
def test_a_call_and_predict_and_evaluate_see_the_images_as_they_are(layer):
    model = _model(layer)
    assert np.array_equal(_array(model(IMAGES)), IMAGES)
    assert np.array_equal(model.predict(IMAGES, verbose=0), IMAGES)
    assert model.evaluate(IMAGES, IMAGES, verbose=0) == 0


@one_of_each
@pytest.mark.parametrize("jit_compile", [False, "auto"])
def test_fit_sees_other_images_and_its_validation_does_not(layer, jit_compile):
    model, pair = _model(layer, jit_compile, flat=True), (IMAGES, 0 * FLAT)
    history = _fit(model, *pair, epochs=2, validation_data=pair).history
    plain = np.mean(IMAGES**2)
    assert history["val_loss"] == pytest.approx([plain] * 2, rel=1e-3)
    assert history["loss"] != pytest.approx(history["val_loss"], rel=1e-5)
    assert history["loss"][0] != history["loss"][1]


@one_of_each
def test_runs_compiled_by_jit(layer):
    augmented = _jitted(_fresh(layer))(ops.cast(IMAGES, "uint8"))
    assert keras.backend.standardize_dtype(augmented.dtype) == "uint8"
    assert not np.array_equal(_array(augmented), IMAGES)


@every
def test_the_same_seed_gives_the_same_stream(layer):
    first, second = _stream(_fresh(layer), 3), _stream(_fresh(layer), 3)
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[1], first[2])


@every
def test_another_seed_gives_another_stream(layer):
    config = layer.get_config() | {"seed": layer.seed + 1}
    other = type(layer).from_config(config)
    assert not np.array_equal(_stream(other, 3), _stream(_fresh(layer), 3))


@every
def test_no_seed_gives_another_stream_each_time(layer):
    config = layer.get_config() | {"seed": None}
    first, second = (type(layer).from_config(config) for _ in range(2))
    assert not np.array_equal(_stream(first, 5), _stream(second, 5))


@one_of_each
def test_fit_moves_the_stream_on_by_one_draw_a_batch(layer):
    model, layer = _model(_fresh(layer), flat=True), _fresh(layer)
    _fit(model, IMAGES, FLAT, batch_size=2)
    _stream(layer, 2)
    assert np.array_equal(_stream(model.layers[0], 2), _stream(layer, 2))


@one_of_each
def test_inference_draws_nothing_from_the_stream(layer):
    model = _model(_fresh(layer))
    model(IMAGES)
    model.predict(IMAGES, verbose=0)
    model.evaluate(IMAGES, IMAGES, verbose=0)
    assert np.array_equal(_stream(model.layers[0], 2), _stream(_fresh(layer), 2))


@one_of_each
def test_the_stream_goes_on_after_saving_and_loading(layer, tmp_path):
    model = _model(_fresh(layer), flat=True)
    _fit(model, IMAGES, FLAT)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    _assert_goes_on(again.layers[0], model.layers[0])


@one_of_each
def test_the_stream_goes_on_after_saving_and_loading_weights(layer, tmp_path):
    model, again = _model(_fresh(layer)), _model(_fresh(layer))
    _stream(model.layers[0], 1)
    model.save_weights(tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")
    _assert_goes_on(again.layers[0], model.layers[0])


@every
def test_comes_back_from_its_config(layer):
    saved = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    assert np.array_equal(_stream(again, 2), _stream(_fresh(layer), 2))


@every
def test_knows_its_output_shape_before_it_runs(layer):
    shape = (None, 8, None, 8)
    assert layer.compute_output_shape(shape) == shape
    assert _fresh(layer)(keras.Input(shape[1:])).shape == shape


@one_of_each
def test_brings_no_weights_to_train(layer):
    assert _model(layer).trainable_variables == []


def test_every_layer_has_a_row():
    public = {getattr(layers, name) for name in layers.__all__}
    classes = {entry for entry in public if isinstance(entry, type)}
    assert {type(layer) for layer in ROWS} == classes


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("layer", ROWS[:1] + ROWS[-4:-3], ids=["Cutout", "Noise"])
def test_layers_of_one_seed_in_one_model_draw_each_its_own(layer, jit_compile):
    first, second = _renamed(layer, "one"), _renamed(layer, "two")
    ends = keras.Input((8, 8, 8)), keras.layers.Subtract()
    model = keras.Model(ends[0], ends[1]([first(ends[0]), second(ends[0])]))
    model.compile("sgd", "mse", jit_compile=jit_compile)
    assert model.fit(IMAGES, 0 * IMAGES, verbose=0).history["loss"][0] > 1


@every
def test_takes_a_batch_of_none(layer):
    assert layer.augment(IMAGES[:0]).shape == (0, 8, 8, 8)


@pytest.mark.parametrize("shape", [(4, 9), (4, 9, 3), (4, 5, 5, 2), (4, 5, 5, 5, 2)])
@every
def test_takes_every_rank_it_says_it_takes_and_refuses_the_others(layer, shape):
    if getattr(layer, "data_format", "") == "channels_first":
        shape = (shape[0], shape[-1], *shape[1:-1])
    if isinstance(getattr(layer, "fill_value", 0), tuple):
        layer = Cutout(2, seed=1)
    images = np.random.default_rng(1).integers(1, 99, shape).astype("float32")
    if layer.ranks is None or len(shape) in layer.ranks:
        changed = [_array(_fresh(layer).augment(images)) != images for _ in range(3)]
        assert np.any(changed)
    else:
        refused = f"`input` of {type(layer).__name__} must be of rank"
        with pytest.raises(ValueError, match=refused):
            layer.augment(images)


@every
@pytest.mark.parametrize(
    "images", [{"images": IMAGES, "boxes": IMAGES}, np.zeros(3), np.zeros(())]
)
def test_what_is_no_batch_of_images_is_refused(layer, images):
    with pytest.raises(ValueError, match=f"of {type(layer).__name__} must be"):
        layer.augment(images)


@every
@pytest.mark.parametrize("training", [False, True])
def test_a_model_refuses_what_is_no_batch_of_images(layer, training):
    pair = {"images": IMAGES, "labels": np.zeros(len(IMAGES))}
    inputs = {name: keras.Input(array.shape[1:]) for name, array in pair.items()}
    for one in (pair, [IMAGES, IMAGES], inputs, list(inputs.values())):
        with pytest.raises(ValueError, match="labels, weights and masks given to fit"):
            _fresh(layer)(one, training=training)
    built = _fresh(layer)
    built(IMAGES)
    with pytest.raises(ValueError, match="labels, weights and masks given to fit"):
        built(pair, training=training)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="none elsewhere")
@every
def test_ragged_images_are_refused(layer):
    import tensorflow as tf

    ragged = tf.RaggedTensor.from_tensor(tf.constant(IMAGES), ragged_rank=2)
    for use in (layer.augment, layer):
        with pytest.raises(ValueError, match="ragged ones padded before"):
            use(ragged)


SIZE = "`size` of Cutout must be "
PROBABILITY = "`probability` of Cutout must be "
REFUSED = [
    (lambda: Cutout(0), SIZE + "an integer of at least 1. Received: size=0"),
    (lambda: Cutout(2.0), SIZE + "an integer of at least 1. Received: size=2.0"),
    (lambda: Cutout(True), SIZE + "an integer of at least 1. Received: size=True"),
    (lambda: Cutout(2**31), SIZE + "an integer below 2**31. Received: size=2147483648"),
    (
        lambda: Cutout(2, holes=0),
        "`holes` of Cutout must be an integer of at least 1. Received: holes=0",
    ),
    (
        lambda: Cutout(2, fill_value="mean"),
        "`fill_value` of Cutout must be a finite number. Received: fill_value='mean'",
    ),
    (
        lambda: Cutout(2, fill_value=math.nan),
        "`fill_value` of Cutout must be a finite number. Received: fill_value=nan",
    ),
    (
        lambda: Cutout(2, probability=1.01),
        PROBABILITY + "from 0 to 1. Received: probability=1.01",
    ),
    (
        lambda: Cutout(2, probability=-0.01),
        PROBABILITY + "from 0 to 1. Received: probability=-0.01",
    ),
    (
        lambda: Cutout(2, probability=math.nan),
        PROBABILITY + "a finite number. Received: probability=nan",
    ),
    (
        lambda: Cutout(2, border="reflect"),
        "`border` of Cutout must be one of 'clip', 'inside'. Received: border='reflect'",
    ),
    (
        lambda: Cutout(2, data_format="NCHW"),
        "`data_format` of Cutout must be one of 'channels_last', 'channels_first'. "
        "Received: data_format='NCHW'",
    ),
    (
        lambda: Cutout(2)(keras.Input((8, 8))),
        "`input` of Cutout must be of rank 4 or 5, the batch first. "
        "Received: input=(None, 8, 8)",
    ),
    (
        lambda: Cutout(5, border="inside")(keras.Input((8, 4, 9))),
        SIZE + "at most the side of the images, (8, 4), with border='inside'. "
        "Received: size=5",
    ),
    (
        lambda: Cutout(5, border="inside", data_format="channels_first")(
            keras.Input((9, 4, None))
        ),
        SIZE + "at most the side of the images, (4, None), with border='inside'. "
        "Received: size=5",
    ),
]


@pytest.mark.parametrize(
    ("build", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED]
)
def test_bad_arguments_are_refused_in_one_sentence(build, sentence):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        build()
    assert str(refusal.value) == sentence


# What the rule allows is written with slices, one box a centre, on images of 5 x 4.
RULES = [
    pytest.param(size, border, id=f"{size} {border}")
    for size, border in itertools.chain(
        itertools.product((1, 2, 3, 9), ["clip"]),
        itertools.product((1, 2, 3, 4), ["inside"]),
    )
]
every_rule = pytest.mark.parametrize(("size", "border"), RULES)


@every_rule
def test_cutout_draws_every_box_of_the_rule_and_no_other(size, border):
    drawn = _masks(Cutout(size, border=border, seed=5))
    assert set(_shares(drawn)) == set(_shares(_boxes(size, border)))


@every_rule
def test_cutout_draws_all_places_equally_often(size, border):
    drawn = _shares(_masks(Cutout(size, border=border, seed=6)))
    for box, share in _shares(_boxes(size, border)).items():
        assert drawn[box] == pytest.approx(share, abs=5 * math.sqrt(share / 4000))


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        (3, [2 / 5, 3 / 5, 3 / 5, 3 / 5, 2 / 5], [2 / 4, 3 / 4, 3 / 4, 2 / 4]),
        (2, [2 / 5, 2 / 5, 2 / 5, 2 / 5, 1 / 5], [2 / 4, 2 / 4, 2 / 4, 1 / 4]),
    ],
)
def test_cutout_covers_each_pixel_as_often_as_worked_by_hand(size, rows, columns):
    covered = _masks(Cutout(size, seed=7)).mean(0)
    assert covered == pytest.approx(np.outer(rows, columns), abs=0.04)


def test_cutout_inside_always_blanks_the_whole_square():
    drawn = _masks(Cutout(3, border="inside", seed=8))
    assert set(drawn.sum((1, 2))) == {9}


def test_cutout_with_two_holes_blanks_every_union_of_two_boxes():
    boxes = _boxes(2, "inside")
    unions = [one | other for one, other in itertools.product(boxes, repeat=2)]
    drawn = _masks(Cutout(2, holes=2, border="inside", seed=9))
    assert set(_shares(drawn)) == set(_shares(unions))


def test_cutout_draws_its_holes_apart():
    counts = _masks(Cutout(1, holes=3, seed=10)).sum((1, 2))
    assert set(counts) == {1, 2, 3}
    assert counts.mean() == pytest.approx(20 * (1 - (19 / 20) ** 3), rel=0.01)


def test_cutout_draws_each_image_apart():
    drawn = _masks(Cutout(1, seed=11))
    like_the_next = (drawn[:-1] == drawn[1:]).all((1, 2)).mean()
    assert like_the_next == pytest.approx(1 / 20, abs=0.02)


@pytest.mark.parametrize("probability", [0, 0.25, 1])
def test_cutout_probability_is_the_part_of_images_with_holes(probability):
    layer = Cutout(1, holes=4, probability=probability, seed=12)
    holed = _masks(layer).any((1, 2)).mean()
    assert holed == pytest.approx(probability, abs=0.035 if probability % 1 else 0)


def test_cutout_fills_holes_and_leaves_the_rest():
    images = IMAGES + np.arange(8, dtype="float32") / 16
    got = _array(Cutout(3, fill_value=-1.5, seed=13).augment(images))
    holes = got == -1.5
    assert np.array_equal(got, np.where(holes, np.float32(-1.5), images))
    assert np.array_equal(holes, np.broadcast_to(holes[..., :1], holes.shape))
    assert holes.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_cutout_blanks_the_same_pixels_in_every_dtype(dtype):
    plain = _array(Cutout(3, fill_value=2, seed=14).augment(IMAGES))
    got = Cutout(3, fill_value=2, seed=14).augment(ops.cast(IMAGES, dtype))
    assert np.array_equal(_array(got), plain)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "uint8"])
def test_cutout_in_training_keeps_a_dtype_that_is_the_layers_own(dtype):
    own = "float32" if dtype == "uint8" else dtype
    got = Cutout(3, dtype=own, seed=15)(ops.cast(IMAGES, dtype), training=True)
    assert keras.backend.standardize_dtype(got.dtype) == dtype
    assert _array(got).min() == 0


def test_cutout_channels_first_blanks_all_channels_where_channels_last_does():
    last = _array(Cutout(3, seed=16).augment(IMAGES))
    layer = Cutout(3, data_format="channels_first", seed=16)
    first = _array(layer.augment(np.moveaxis(IMAGES, -1, 1)))
    assert np.array_equal(np.moveaxis(first, 1, -1), last)


def test_cutout_follows_the_global_data_format():
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        holes = _array(Cutout(2, seed=17).augment(IMAGES)) == 0
    finally:
        keras.config.set_image_data_format(before)
    assert np.array_equal(holes, np.broadcast_to(holes[:, :1], holes.shape))
    assert not np.array_equal(holes, np.broadcast_to(holes[..., :1], holes.shape))


@pytest.mark.parametrize(("dtype", "axis"), [("float16", 1), ("bfloat16", 2)])
def test_cutout_is_exact_at_4096_pixels_in_half_precision(dtype, axis):
    shape = [64, 3, 3, 1]
    shape[axis] = 4096
    layer = Cutout(3, border="inside", seed=18)
    holes = _array(layer.augment(ops.ones(shape, dtype))) == 0
    lines = holes.any((3 - axis, 3))
    first = lines.argmax(1)
    expected = (np.arange(4096) - first[:, None]) // 3 == 0
    assert np.array_equal(lines, expected)
    assert np.array_equal(holes.sum((1, 2, 3)), [9] * 64)
    assert any(first[first > 2048] % 2)


def test_cutout_reaches_both_ends_of_4096_pixels():
    layer = Cutout(1, dtype="bfloat16", seed=19)
    images = layer.augment(np.ones((4000, 4096, 1, 1), "uint8"))
    blank = ops.convert_to_numpy(images)[:, :, 0, 0].argmin(1)
    assert blank.min() < 20
    assert blank.max() > 4075
    assert len(set(blank)) > 4096 * (1 - 1 / math.e) - 150


@pytest.mark.parametrize(("border", "least"), [("clip", 4), ("inside", 9)])
def test_cutout_takes_images_whose_sides_it_does_not_know(border, least):
    layer = Cutout(3, border=border, seed=20)
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    model.compile("sgd", "mse")
    for side in (5, 9):
        images = np.ones((16, side, side + 2, 3), "float32")
        blanked = _train_loss(model, images) * side * (side + 2)
        assert least - 0.001 < blanked < 9.001


def test_cutout_takes_a_batch_of_one():
    layer = Cutout(3, border="inside", seed=21)
    drawn = np.array([_masks(layer, 1)[0] for _ in range(5)])
    assert set(drawn.sum((1, 2))) == {9}
    assert len(_shares(drawn)) > 1


def test_cutout_takes_batches_of_any_size_in_fit():
    model = keras.Sequential([keras.Input((8, 8, 1)), Cutout(4, border="inside")])
    model.compile("sgd", "mse")
    images = np.ones((7, 8, 8, 1), "float32")
    assert _train_loss(model, images, batch_size=3) == pytest.approx(16 / 64)


def _array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def _fresh(layer):
    return type(layer).from_config(layer.get_config())


def _stream(layer, length):
    return np.array([_array(layer.augment(IMAGES)) for _ in range(length)])


def _assert_goes_on(layer, original):
    expected = _stream(original, 2)
    assert np.array_equal(_stream(layer, 2), expected)
    assert not np.array_equal(_stream(_fresh(original), 1)[0], expected[0])


def _renamed(layer, name):
    return type(layer).from_config(layer.get_config() | {"name": name})


def _fit(model, *data, **given):
    return model.fit(*data, verbose=0, callbacks=[LabelMixing()], **given)


def _model(layer, jit_compile="auto", flat=False):
    model = keras.Sequential([keras.Input((8, 8, 8)), layer])
    if flat:
        model.add(keras.layers.Flatten())
    model.compile("sgd", "mse", jit_compile=jit_compile)
    return model


def _train_loss(model, images, batch_size=None):
    history = model.fit(images, images, verbose=0, batch_size=batch_size)
    return history.history["loss"][0]


def _masks(layer, count=4000):
    images = np.ones((count, 5, 4, 1), "uint8")
    return _array(layer.augment(images))[..., 0] == 0


def _boxes(size, border):
    """Returns each box the rule allows, as often as there are centres for it."""
    before = 0 if border == "inside" else size // 2
    room = size - 1 if border == "inside" else 0
    boxes = np.zeros((5 - room, 4 - room, 5, 4), bool)
    for row, column in np.ndindex(boxes.shape[:2]):
        top, left = row - before, column - before
        box = boxes[row, column]
        box[max(top, 0) : top + size, max(left, 0) : left + size] = True
    return boxes.reshape(-1, 5, 4)


def _shares(masks):
    counts = collections.Counter(np.asarray(mask).tobytes() for mask in masks)
    return {mask: count / len(masks) for mask, count in counts.items()}


def _jitted(layer):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        return tensorflow.function(layer.augment, jit_compile=True)
    if backend == "torch":
        import torch

        return torch.compile(layer.augment)
    import jax

    def augment(images):
        with keras.StatelessScope():
            return layer.augment(images)

    return jax.jit(augment)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cutout_keeps_the_dtype_in_a_call_as_well(dtype, training):
    images = Cutout(2, seed=1)(ops.cast(IMAGES, dtype), training=training)
    assert keras.backend.standardize_dtype(images.dtype) == dtype
    symbolic = Cutout(2)(keras.Input((8, 8, 8), dtype=dtype))
    assert symbolic.dtype == dtype


def test_cutout_draws_every_row_under_a_coarse_default_dtype():
    try:
        keras.config.set_floatx("bfloat16")
        holed = _array(Cutout(1, seed=1).augment(np.ones((2048, 512, 4, 1), "uint8")))
    finally:
        keras.config.set_floatx("float32")
    assert (holed == 0).any(axis=(0, 2, 3)).sum() > 480


@pytest.mark.parametrize(
    ("layer", "images", "sentence"),
    [
        (Cutout(2), np.zeros((4, 4, 1)), "`input` of Cutout must be of rank 4 or 5"),
        (Cutout((2, 2, 2)), IMAGES, "`size` of Cutout must be one side, or 2"),
        (Cutout(2, fill_value=(1, 2)), IMAGES, "must be one number, or 8, one a channel"),
        (Cutout(8, border="inside"), IMAGES[:, :4], "`size` of Cutout must be at most"),
        (Cutout(2, fill_value=300), IMAGES.astype("uint8"), "`fill_value` .* an uint8"),
        (Cutout(2, fill_value=0.5), IMAGES.astype("uint8"), "`fill_value` .* an uint8"),
    ],
)
def test_cutout_refuses_images_it_cannot_do_right(layer, images, sentence):
    with pytest.raises(ValueError, match=sentence):
        layer.augment(images)


def test_cutout_with_numpy_arguments_is_saved_as_plain_numbers():
    layer = Cutout(np.int64(2), seed=np.int32(3))
    config = layer.get_config()
    assert json.loads(json.dumps(config))["size"] == 2
    assert config["data_format"] == "channels_last"
    again = Cutout.from_config(config)
    assert np.array_equal(_array(again.augment(IMAGES)), _array(layer.augment(IMAGES)))


@pytest.mark.parametrize("seed", [-1, 2**40, True, "1"])
def test_cutout_refuses_what_is_no_seed(seed):
    with pytest.raises(ValueError, match="`seed` of Cutout must be an integer"):
        Cutout(2, seed=seed)

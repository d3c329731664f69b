"""Each image has a channel of its own, so that pixels tell of whom a mix consists.

`Seen` keeps them as the step saw them. The loss and the step of the weights are then
worked out in NumPy, from these shares and the labels as they were given.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_sched import find_learning_rate, layers
from keras_sched.callbacks import (
    LabelMixing,
    LearningRateFinder,
    OneCycle,
    PlateauScaling,
)

pytestmark = pytest.mark.every_backend

COUNT, CLASSES, RATE = 6, 3, 0.5
CHANCE = np.random.default_rng(0)
IMAGES = np.ones((COUNT, 7, 5, 1), "float32") * np.eye(COUNT)[:, None, None, :]
NUMBERS = np.array([0, 1, 2, 2, 1, 0])
ONE_HOT = np.eye(CLASSES, dtype="float32")[NUMBERS]
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5, 3.0, 0.0], "float32")
KERNEL = CHANCE.normal(size=(COUNT, CLASSES)).astype("float32")
MIXERS = {
    "mixup": lambda: [layers.MixUp(1.0, seed=1, name="mixup")],
    "cutmix": lambda: [layers.CutMix(seed=2)],
    "either": lambda: [layers.MixUpOrCutMix(1.0, seed=3)],
    "two in a row": lambda: [layers.MixUp(1.0, seed=4), layers.CutMix(seed=5)],
}
every_mixer = pytest.mark.parametrize("mixers", MIXERS.values(), ids=MIXERS)
jitted = pytest.mark.parametrize("jit_compile", [False, True])


class Seen(keras.layers.Layer):
    """Keeps how much of each channel there was in each image."""

    def build(self, input_shape):
        shape = COUNT, COUNT  # On torch, Keras casts a copy and assigns to that.
        self.shares = self.add_weight(shape, trainable=False, autocast=False)

    def call(self, images, training=False):
        if training:
            self.shares.assign(ops.mean(images, axis=(1, 2)))
        return images


def make_model(mixers, outputs=CLASSES, loss=None, **given):
    seen = Seen(), keras.layers.GlobalAveragePooling2D()
    head = keras.layers.Dense(
        outputs, use_bias=False, kernel_regularizer=given.pop("l2", None)
    )
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), *mixers, *seen, head])
    head.kernel.assign(KERNEL[:, :outputs])
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE), loss, **given)
    return model


def train(model, labels, **given):
    """Returns the loss of a step on all images, whose shares, and the kernel's step."""
    batch = dict(batch_size=COUNT, shuffle=False, verbose=0, callbacks=[LabelMixing()])
    before = model.layers[-1].get_weights()[0]
    history = model.fit(IMAGES, labels, **batch | given).history
    (seen,) = (layer for layer in model.layers if isinstance(layer, Seen))
    step = (before - model.layers[-1].get_weights()[0]) / RATE
    return history["loss"][0], seen.get_weights()[0].astype("float64"), step


def softmax(logits):
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def expected(shares, labels, weights=1.0, divisor=COUNT):
    """The cross-entropy of mixed one-hot labels, and its gradient by the kernel."""
    mixed = (shares * weights) @ labels
    probabilities = softmax(shares @ KERNEL)
    loss = -np.sum(mixed * np.log(probabilities)) / divisor
    slopes = mixed.sum(1, keepdims=True) * probabilities - mixed
    return loss, shares.T @ slopes / divisor


def assert_near(found, wanted):
    loss, _, step = found
    assert loss == pytest.approx(wanted[0], rel=2e-6)
    assert step == pytest.approx(wanted[1], abs=2e-6)


def assert_mixed(shares):
    assert shares.sum(1) == pytest.approx(np.ones(COUNT), abs=1e-6)
    assert 0.02 < np.mean(1 - np.diag(shares)) < 0.95


@jitted
@every_mixer
def test_the_loss_is_that_of_the_mixed_one_hot_labels(mixers, jit_compile):
    for labels in (NUMBERS, NUMBERS[:, None], ONE_HOT):
        given = dict(from_logits=True)
        loss = (
            keras.losses.CategoricalCrossentropy(**given) if labels is ONE_HOT else None
        )
        model = make_model(mixers(), loss=loss, jit_compile=jit_compile)
        found = train(model, labels)
        assert_mixed(found[1])
        assert_near(found, expected(found[1], ONE_HOT))


@every_mixer
def test_the_weight_of_an_image_goes_with_its_label(mixers):
    for given in (
        dict(sample_weight=WEIGHTS),
        dict(sample_weight=WEIGHTS[:, None]),
        dict(class_weight={0: 0.0, 1: 2.0, 2: 0.5}),
    ):
        weights = WEIGHTS
        if "class_weight" in given:
            weights = np.array([0.0, 2.0, 0.5])[NUMBERS]
        found = train(make_model(mixers()), NUMBERS, **given)
        assert_near(found, expected(found[1], ONE_HOT, weights))


@pytest.mark.parametrize(
    ("reduction", "divisor"),
    [("sum", 1), ("mean_with_sample_weight", None), ("sum_over_batch_size", COUNT)],
)
def test_every_reduction_is_what_it_is_without_mixing(reduction, divisor):
    loss = keras.losses.SparseCategoricalCrossentropy(True, reduction=reduction)
    found = train(
        make_model(MIXERS["cutmix"](), loss=loss), NUMBERS, sample_weight=WEIGHTS
    )
    total = (found[1] * WEIGHTS).sum()
    assert_near(found, expected(found[1], ONE_HOT, WEIGHTS, divisor or total))


def test_label_smoothing_smooths_the_mixed_label():
    loss = keras.losses.CategoricalCrossentropy(True, label_smoothing=0.3)
    found = train(make_model(MIXERS["mixup"](), loss=loss), ONE_HOT)
    assert_near(found, expected(found[1], 0.7 * ONE_HOT + 0.1))


def test_several_labels_at_once_are_mixed_each():
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    labels = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 1]])
    loss, shares, _ = train(make_model(MIXERS["mixup"](), loss=loss), labels)
    chance = 1 / (1 + np.exp(-shares @ KERNEL))
    mixed = shares @ labels
    each = mixed * np.log(chance) + (1 - mixed) * np.log(1 - chance)
    assert loss == pytest.approx(-each.mean(), rel=2e-6)


@pytest.mark.parametrize("shape", [(COUNT,), (COUNT, 1)])
@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_the_targets_of_a_regression_are_mixed_themselves(name, shape):
    targets = np.array([3.0, -1.0, 0.5, 2.0, 7.0, -4.0], "float32")
    model = make_model(MIXERS["mixup"](), outputs=1, loss=name)
    loss, shares, _ = train(model, targets.reshape(shape))
    off = np.abs((shares @ KERNEL)[:, 0] - shares @ targets)
    losses = {
        "mse": off**2,
        "mae": off,
        "huber": np.where(off < 1, off**2 / 2, off - 0.5),
    }
    assert loss == pytest.approx(losses[name].mean(), rel=2e-6)


def test_the_loss_of_weights_is_counted_once():
    model = make_model(MIXERS["two in a row"](), l2=keras.regularizers.L2(0.1))
    loss, shares, _ = train(model, NUMBERS)
    wanted = expected(shares, ONE_HOT)[0] + 0.1 * np.sum(KERNEL.astype("float64") ** 2)
    assert loss == pytest.approx(wanted, rel=2e-6)


def test_several_outputs_have_each_its_mixed_labels():
    inputs, seen = keras.Input(IMAGES.shape[1:]), Seen()
    pooled = keras.layers.GlobalAveragePooling2D()(seen(layers.CutMix(seed=1)(inputs)))
    heads = [keras.layers.Dense(n, use_bias=False, name=f"h{n}") for n in (CLASSES, 1)]
    outputs = {head.name: head(pooled) for head in heads}
    model = keras.Model(inputs, outputs)
    for head in heads:
        head.kernel.assign(KERNEL[:, : head.units])
    cross = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses, weights = {"h3": cross, "h1": "mse"}, {"h3": 1.0, "h1": 0.25}
    model.compile(keras.optimizers.SGD(RATE), losses, loss_weights=weights)
    targets = np.arange(COUNT, dtype="float32")
    labels = {"h3": NUMBERS, "h1": targets}
    batch = dict(batch_size=COUNT, shuffle=False, verbose=0)
    history = model.fit(IMAGES, labels, callbacks=LabelMixing(), **batch).history
    shares = seen.get_weights()[0].astype("float64")
    squares = np.mean(((shares @ KERNEL)[:, 0] - shares @ targets) ** 2)
    crossed = expected(shares, ONE_HOT)[0]
    assert history["loss"][0] == pytest.approx(crossed + 0.25 * squares, rel=2e-6)
    assert history["h3_loss"][0] == pytest.approx(crossed, rel=2e-6)
    assert history["h1_loss"][0] == pytest.approx(squares, rel=2e-6)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential(
            [*MIXERS["cutmix"](), Seen(), keras.layers.GlobalAveragePooling2D()]
        )
        self.head = keras.layers.Dense(CLASSES, use_bias=False)

    def call(self, images, training=False):
        return self.head(self.inner(images, training=training))


class WithItsOwnStep(keras.Sequential):
    """Trains as it always did, by a `train_step` of its own."""

    def train_step(self, *args):
        return super().train_step(*args)


def test_a_subclassed_model_trains_as_well():
    model = Subclassed()
    model(IMAGES)
    model.head.set_weights([KERNEL])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE), loss)
    batch = dict(batch_size=COUNT, shuffle=False, verbose=0, callbacks=[LabelMixing()])
    history = model.fit(IMAGES, NUMBERS, **batch).history
    shares = model.inner.layers[1].get_weights()[0].astype("float64")
    assert_mixed(shares)
    assert history["loss"][0] == pytest.approx(expected(shares, ONE_HOT)[0], rel=2e-6)


@pytest.mark.parametrize("first", [True, False])
def test_goes_with_callbacks_that_drive_the_optimizer(first):
    others = [
        OneCycle(0.1, cycle_momentum=False),
        PlateauScaling("loss", 0.5, 1, verbose=0),
    ]
    listed = [LabelMixing(), *others] if first else [*others, LabelMixing()]
    loss, shares, _ = train(make_model(MIXERS["cutmix"]()), NUMBERS, callbacks=listed)
    assert loss == pytest.approx(expected(shares, ONE_HOT)[0], rel=2e-6)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras has one step at a time there"
)
def test_several_steps_at_once_mix_each_their_labels():
    model = make_model(MIXERS["mixup"](), steps_per_execution=4)
    model.optimizer.learning_rate = 0.0
    given = dict(batch_size=COUNT, shuffle=False, verbose=0, callbacks=[LabelMixing()])
    repeated = np.tile(IMAGES, (4, 1, 1, 1)), np.tile(NUMBERS, 4)
    (found,) = model.fit(*repeated, **given).history["loss"]
    alone = make_model(MIXERS["mixup"]())
    alone.optimizer.learning_rate = 0.0
    losses = []
    for _ in range(4):
        loss, shares, _ = train(alone, NUMBERS)
        assert loss == pytest.approx(expected(shares, ONE_HOT)[0], rel=2e-6)
        losses.append(loss)
    assert found == pytest.approx(np.mean(losses), rel=2e-6)


def test_gradients_of_mixed_labels_accumulate():
    model = make_model(MIXERS["cutmix"]())
    cross = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE, gradient_accumulation_steps=2), cross)
    found = [train(model, NUMBERS) for _ in range(2)]
    wanted = [expected(shares, ONE_HOT) for _, shares, _ in found]
    assert np.any(found[0][1] != found[1][1])
    assert not found[0][2].any()
    mean = (wanted[0][1] + wanted[1][1]) / 2
    assert_near(found[1], (wanted[1][0], mean))


@pytest.mark.parametrize(
    ("policy", "off"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)]
)
@every_mixer
def test_labels_are_mixed_in_full_precision_in_a_model_of_half(mixers, policy, off):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        loss, shares, _ = train(make_model(mixers()), NUMBERS)
    finally:
        keras.config.set_dtype_policy(before)
    assert not np.allclose(shares, np.eye(COUNT))
    assert loss == pytest.approx(expected(shares, ONE_HOT)[0], rel=off)


@every_mixer
def test_a_saved_model_infers_without_mixing_and_mixes_on(mixers, tmp_path):
    model = make_model(mixers(), loss="mse")
    train(model, ONE_HOT)
    model.save(tmp_path / "model.keras")
    custom = {"Seen": Seen}
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects=custom)
    plain = IMAGES.mean((1, 2)) @ model.layers[-1].get_weights()[0]
    for predicted in (loaded.predict(IMAGES, verbose=0), loaded(IMAGES)):
        assert ops.convert_to_numpy(predicted) == pytest.approx(plain, abs=1e-6)
    straight, again = train(model, ONE_HOT), train(loaded, ONE_HOT)
    assert_mixed(again[1])
    for one, other in zip(straight, again, strict=True):
        assert np.array_equal(one, other)


def test_metrics_and_validation_stay_what_they_are_without_mixing():
    model = make_model(MIXERS["two in a row"](), metrics=["accuracy"])
    head = model.layers[-1]
    batch = dict(
        batch_size=COUNT, shuffle=False, verbose=0, validation_data=(IMAGES, NUMBERS)
    )
    history = model.fit(IMAGES, NUMBERS, callbacks=[LabelMixing()], **batch).history
    shares = model.layers[2].get_weights()[0]
    guessed = np.argmax(shares @ KERNEL, 1)
    assert history["accuracy"][0] == pytest.approx(np.mean(guessed == NUMBERS))
    logits = IMAGES.mean((1, 2)).astype("float64") @ head.get_weights()[0]
    plain = -np.log(softmax(logits)[np.arange(COUNT), NUMBERS]).mean()
    assert history["val_loss"][0] == pytest.approx(plain, rel=2e-6)
    assert model.evaluate(IMAGES, NUMBERS, verbose=0)[0] == pytest.approx(plain, rel=2e-6)


def test_without_the_callback_training_is_refused_in_one_sentence():
    model = make_model(MIXERS["mixup"]())
    with pytest.raises(ValueError, match=r"give callbacks\.LabelMixing\(\) to fit"):
        model.fit(IMAGES, NUMBERS, verbose=0)


def test_after_fit_the_losses_and_the_step_are_what_they_were():
    model = make_model(MIXERS["mixup"]())
    entries = []
    for _ in range(2):
        train(model, NUMBERS)
        entries.append([entry.loss for entry in model._compile_loss._flat_losses])
    assert entries[0] == entries[1]
    assert all(isinstance(loss, keras.losses.Loss) for loss in entries[0])
    assert "build" not in vars(model._compile_loss)
    with pytest.raises(ValueError, match="LabelMixing"):
        model.fit(IMAGES, NUMBERS, verbose=0)


def test_a_fit_that_broke_off_leaves_the_next_one_its_mixing():
    def stop(epoch, logs):
        raise KeyboardInterrupt

    model = make_model(MIXERS["cutmix"]())
    breaks = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    with pytest.raises(KeyboardInterrupt):
        train(model, NUMBERS, callbacks=[LabelMixing(), breaks])
    model.layers[-1].set_weights([KERNEL])
    found = train(model, NUMBERS)
    assert_mixed(found[1])
    assert_near(found, expected(found[1], ONE_HOT))


def test_a_loss_that_nobody_asks_for_is_refused():
    class Free(keras.Sequential):
        def compute_loss(self, *args, **kwargs):
            return ops.mean(args[2])

    model = Free(
        [keras.Input(IMAGES.shape[1:]), *MIXERS["mixup"](), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    with pytest.raises(
        ValueError, match="`loss` of LabelMixing must be a loss of compile"
    ):
        model.fit(IMAGES, NUMBERS, verbose=0, callbacks=[LabelMixing()])


def test_labels_of_single_pixels_follow_blends_and_are_refused_where_boxes_are_mixed():
    labels = CHANCE.integers(0, 3, (COUNT, 7, 5))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for mixer in MIXERS["mixup"](), MIXERS["cutmix"]():
        head = keras.layers.Dense(CLASSES, use_bias=False)
        model = keras.Sequential([keras.Input(IMAGES.shape[1:]), *mixer, Seen(), head])
        head.kernel.assign(KERNEL)
        model.compile("sgd", loss)
        if isinstance(mixer[0], layers.CutMix):
            with pytest.raises(
                ValueError, match="one for each image where boxes are mix"
            ):
                train(model, labels)
            continue
        found, shares, _ = train(model, labels)
        logs = np.log(softmax(shares @ KERNEL))
        mixed = np.einsum("ij,jhwc->ihwc", shares, np.eye(CLASSES)[labels])
        each = -np.sum(mixed * logs[:, None, None], -1)
        assert found == pytest.approx(each.mean(), rel=2e-6)


def test_a_loss_that_has_averaged_already_is_refused_for_class_numbers():
    def averaged(y_true, y_pred):
        return ops.mean(keras.losses.sparse_categorical_crossentropy(y_true, y_pred))

    model = make_model(MIXERS["mixup"](), loss=averaged)
    with pytest.raises(ValueError, match="a number for each image, not their mean"):
        train(model, NUMBERS)


def test_the_finder_mixes_labels_too_and_leaves_no_trace():
    model = make_model(MIXERS["two in a row"]())
    before = [np.array(ops.convert_to_numpy(v)) for v in model.variables]
    curve = find_learning_rate(
        model, IMAGES, NUMBERS, steps=5, batch_size=COUNT, verbose=0
    )
    assert np.isfinite(curve.losses).all()
    for array, variable in zip(before, model.variables, strict=True):
        assert np.array_equal(array, ops.convert_to_numpy(variable))
    finder = LearningRateFinder(steps=5)
    batch = dict(batch_size=COUNT, shuffle=False, verbose=0, epochs=5)
    model.fit(IMAGES, NUMBERS, callbacks=[finder, LabelMixing()], **batch)
    losses = finder.curve.losses
    model.fit(IMAGES, NUMBERS, callbacks=[again := LearningRateFinder(steps=5)], **batch)
    assert np.array_equal(again.curve.losses, losses)


@pytest.mark.parametrize("layer", [layers.MixUp(1.0, seed=1), layers.CutMix(seed=2)])
def test_augment_mixes_labels_as_it_mixes_pixels(layer):
    channels_last = IMAGES.astype("float64")
    for dtype in ("float32", "float16"):
        images, labels = layer.augment(
            ops.cast(channels_last, dtype), NUMBERS, num_classes=3
        )
        shares = np.asarray(ops.convert_to_numpy(images), "float64").mean((1, 2))
        rel = 1e-6 if dtype == "float32" else 2e-3
        assert ops.convert_to_numpy(labels) == pytest.approx(shares @ ONE_HOT, abs=rel)


def test_augment_gives_each_label_the_weight_of_its_image():
    images, labels, weights = layers.CutMix(seed=3).augment(IMAGES, ONE_HOT, WEIGHTS)
    shares = np.asarray(ops.convert_to_numpy(images), "float64").mean((1, 2))
    labels, weights = (np.asarray(ops.convert_to_numpy(a)) for a in (labels, weights))
    assert weights == pytest.approx(shares @ WEIGHTS, abs=1e-6)
    parts = (shares * WEIGHTS) @ ONE_HOT
    assert labels * weights[:, None] == pytest.approx(parts, abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (NUMBERS, "`num_classes` of CutMix must be given for class numbers"),
        (NUMBERS[:, None], "`num_classes` of CutMix must be given for class numbers"),
        (ONE_HOT[:4], "`labels` of CutMix must be one row for each of the 6 images"),
        (np.float32(1), "`labels` of CutMix must be one row for each of the 6 images"),
    ],
)
def test_augment_refuses_labels_that_cannot_follow(labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        layers.CutMix().augment(IMAGES, labels)

"""Where boxes lie, how large they are, and that labels are mixed by pixels counted."""

import keras
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_sched.layers import CutMix, Cutout, MixUp, MixUpOrCutMix, RandomErasing
from keras_sched.layers.beta import beta

pytestmark = pytest.mark.every_backend

ALPHAS = [0.1, 0.2, 0.3, 0.4, 0.8, 1, 2, 8]


def array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def distance(shares, alpha):
    """How far draws are from the law, but next to 1, where float32 is coarse."""
    points = np.linspace(0.001, 0.999, 999)
    below = np.searchsorted(np.sort(shares), points, side="right") / len(shares)
    return np.abs(below - scipy.stats.beta(alpha, alpha).cdf(points)).max()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_shares_of_mixup_are_those_of_beta(alpha):
    even = np.arange(2**16) % 2 == 0
    layer = MixUp(alpha, seed=1)
    _, labels = layer.augment(np.zeros((2**16, 2)), even.astype("float32"))
    shares = np.where(even, array(labels), 1 - array(labels))
    assert distance(shares, alpha) < 2 / 2**8


@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_million_draws_are_those_of_beta(alpha):
    chances = np.random.default_rng(1).random((10**6, 2), "float32")
    found = array(beta(alpha, ops.convert_to_tensor(chances)))
    assert np.isfinite(found).all()
    assert distance(found, alpha) < 2 / 10**3


def test_the_ends_of_chance_give_numbers():
    ends = np.array([0, 0.25, 0.5, 0.75, 1 - 2**-24], "float32")
    grid = np.stack(np.meshgrid(ends, ends), -1).reshape(-1, 2)
    for alpha in (1e-3, *ALPHAS, 1e3):
        found = array(beta(alpha, ops.convert_to_tensor(grid)))
        assert ((found >= 0) & (found <= 1)).all()
    assert set(array(beta(0.0, ops.convert_to_tensor(grid)))) == {1}


@pytest.mark.parametrize("layer", [MixUp, CutMix, MixUpOrCutMix])
@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_probability_is_the_part_of_images_that_are_mixed(layer, probability):
    images = np.ones((4000, 8, 8, 1)) * (np.arange(4000) % 7)[:, None, None, None]
    same = array(layer(probability=probability, seed=2).augment(images)) == images
    share = np.mean(~same.all((1, 2, 3)))
    least = 0.6 if probability else 0  # Some boxes are empty.
    assert least * probability <= share <= probability + 0.03 * (probability > 0)


@settings(deadline=None, max_examples=30)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    count=st.integers(1, 5),
    alpha=st.floats(0.2, 4),
    seed=st.integers(0, 2**31 - 1),
    first=st.booleans(),
    dtype=st.sampled_from(["float32", "uint8", "bfloat16"]),
)
def test_cutmix_mixes_labels_by_the_pixels_that_are_there(
    height, width, count, alpha, seed, first, dtype
):
    images = np.ones((count, height, width, 1)) * np.eye(count)[:, None, None, :]
    images = np.moveaxis(images, -1, 1) if first else images
    data_format = "channels_first" if first else "channels_last"
    layer = CutMix(alpha, data_format=data_format, seed=seed)
    mixed, labels = layer.augment(ops.cast(images, dtype), np.eye(count, dtype="float32"))
    counted = array(ops.cast(mixed, "float32")).sum((2, 3) if first else (1, 2))
    assert np.array_equal(counted, np.rint(array(labels) * height * width))
    assert array(labels) == pytest.approx(counted / (height * width), abs=1e-7)


def test_cutmix_pastes_one_box_and_leaves_the_rest():
    images = np.random.default_rng(0).random((64, 9, 12, 3)).astype("float32")
    mixed = array(CutMix(seed=4).augment(images))
    pasted = (mixed != images).all(-1)
    assert np.array_equal(
        mixed, np.where(pasted[..., None], np.roll(images, 1, 0), images)
    )
    for mask in pasted:
        assert np.array_equal(mask, np.outer(mask.any(1), mask.any(0)))
        assert np.abs(np.diff(mask.any(1).astype(int))).sum() <= 2


def test_cutmix_boxes_have_the_area_that_beta_leaves_and_centres_anywhere():
    """Worked out from the law: half a side beyond the border is cut off."""
    images = np.arange(4000)[:, None, None, None] % 2 * np.ones((32, 32, 1), "uint8")
    pasted = array(CutMix(seed=5).augment(images)) != images
    chance = np.random.default_rng(6)
    sides = (32 * np.sqrt(chance.random(10**5))).astype(int)
    spans = []
    for _ in range(2):
        begin = chance.integers(0, 32, 10**5) - sides // 2
        spans.append(np.minimum(begin + sides, 32) - np.maximum(begin, 0))
    areas = pasted.sum((1, 2, 3))
    assert scipy.stats.ks_2samp(areas, spans[0] * spans[1]).statistic < 0.035
    assert areas.mean() == pytest.approx(np.mean(spans[0] * spans[1]), rel=0.05)
    covered = pasted.mean((0, 3))
    assert covered == pytest.approx(covered[::-1, ::-1], abs=0.06)


def test_cutmix_of_signals_and_volumes_cuts_the_share_that_beta_leaves():
    for shape in [(64, 1), (16, 16, 16, 1)]:
        images = (
            np.arange(2000).reshape(-1, *[1] * len(shape)) % 2 * np.ones(shape, "uint8")
        )
        pasted = array(CutMix(seed=7).augment(images)) != images
        lines = pasted.any(tuple(range(2, pasted.ndim)))
        assert (np.abs(np.diff(lines.astype(int), axis=1)).sum(1) <= 2).all()
        middle = pasted[(slice(None), *[side // 2 for side in shape[:-1]], 0)]
        assert 0.3 < middle.mean() < 0.7


def test_cutout_of_16_in_32_erases_19_percent_as_the_paper_has_it():
    kept = array(Cutout(16, seed=8).augment(np.ones((4000, 32, 32, 1), "uint8")))
    # Of 32 centres 17 have all 16 lines; the others 8 to 15 above, and 9 to 15 below.
    side = (17 * 16 + sum(range(8, 16)) + sum(range(9, 16))) / 32
    assert 1 - kept.mean() == pytest.approx((side / 32) ** 2, abs=0.003)
    assert 1 - kept.mean() == pytest.approx(0.192, abs=0.003)


def test_cutout_takes_sides_of_its_own_for_each_axis():
    images = np.ones((50, 9, 8, 2), "uint8")
    holes = array(Cutout((2, 5), border="inside", seed=9).augment(images)) == 0
    assert set(holes.any((2, 3)).sum(1)) == {2}
    assert set(holes.any((1, 3)).sum(1)) == {5}
    cubes = array(Cutout(3, border="inside").augment(np.ones((9, 5, 6, 7, 1), "uint8")))
    assert set((cubes == 0).sum((1, 2, 3, 4))) == {27}


def test_a_fill_value_for_each_channel_goes_into_that_channel():
    images = np.full((9, 6, 5, 3), 9, "uint8")
    filled = array(Cutout(3, fill_value=(1, 2, 3), border="inside").augment(images))
    assert [set(filled[..., c].ravel()) for c in range(3)] == [{1, 9}, {2, 9}, {3, 9}]
    layer = Cutout(3, fill_value=(1, 2, 3), data_format="channels_first")
    filled = array(layer.augment(np.moveaxis(images, -1, 1)))
    assert [set(filled[:, c].ravel()) for c in range(3)] == [{1, 9}, {2, 9}, {3, 9}]


def test_a_fill_value_that_float32_has_not_is_exact_in_integers():
    layer = Cutout(2, fill_value=2**24 + 1, border="inside")
    filled = array(layer.augment(ops.zeros((3, 4, 4, 1), "int32")))
    assert set(filled.ravel()) == {0, 2**24 + 1}


def rectangles(layer, shape, count=4000):
    erased = array(layer.augment(np.ones((count, *shape, 1), "uint8")))[..., 0] == 0
    heights, widths = erased.any(2).sum(1), erased.any(1).sum(1)
    assert np.array_equal(erased.sum((1, 2)), heights * widths)
    return erased, heights, widths


def test_erased_areas_are_uniform_and_ratios_log_uniform():
    layer = RandomErasing(probability=1, area=(0.05, 0.2), aspect_ratio=(0.5, 2), seed=1)
    erased, heights, widths = rectangles(layer, (128, 160))
    areas = heights * widths / (128 * 160)
    assert scipy.stats.kstest(areas, "uniform", (0.05, 0.15)).statistic < 0.035
    ratios = np.log(heights / widths) / np.log(2)
    assert scipy.stats.kstest(ratios, "uniform", (-1, 2)).statistic < 0.035
    for border in (erased[:, 0], erased[:, -1], erased[..., 0], erased[..., -1]):
        assert border.any()


def test_erased_rectangles_fit_into_flat_images():
    layer = RandomErasing(probability=1, area=(0.3, 0.9), aspect_ratio=(0.2, 9), seed=2)
    for shape in [(3, 90), (90, 3), (1, 5), (1, 1)]:
        _, heights, widths = rectangles(layer, shape, 500)
        assert heights.min() >= 1 <= widths.min()
        if min(shape) > 1:
            areas = heights * widths / np.prod(shape)
            assert 0.2 < areas.min() < areas.max() < 1
            assert areas.mean() == pytest.approx(0.6, abs=0.06)


@pytest.mark.parametrize("probability", [0, 0.25, 1])
def test_random_erasing_erases_in_that_part_of_the_images(probability):
    layer = RandomErasing(probability=probability, seed=3)
    erased, _, _ = rectangles(layer, (16, 16))
    share = erased.any((1, 2)).mean()
    assert share == pytest.approx(probability, abs=0.035 if probability % 1 else 0)


def test_masks_are_cut_as_the_images_are():
    images = np.random.default_rng(0).random((32, 8, 9, 3)).astype("float32")
    masks = (images[..., :1] * 5 + 1).astype("int32")
    mixed, found = CutMix(seed=1).augment(images, masks=masks)
    pasted = (array(mixed) != images).all(-1, keepdims=True)
    assert np.array_equal(array(found), np.where(pasted, np.roll(masks, 1, 0), masks))
    holed, found = Cutout(4, mask_fill=255, seed=2).augment(images, masks=masks)
    holes = (array(holed) == 0).all(-1, keepdims=True)
    assert np.array_equal(array(found), np.where(holes, 255, masks))
    _, found = RandomErasing(probability=1, seed=3).augment(images, masks=masks)
    assert np.array_equal(array(found), masks)


@pytest.mark.parametrize("layer", [MixUp(), MixUpOrCutMix()])
def test_masks_that_would_be_blended_are_refused(layer):
    with pytest.raises(ValueError, match="a blend of two masks is no mask"):
        layer.augment(np.ones((2, 4, 4, 1)), masks=np.ones((2, 4, 4, 1), "int32"))


def test_cut_layers_take_images_of_4096_pixels_in_half_precision():
    images = np.zeros((6, 4096, 3, 1), "float32")
    images[::2] = 1
    mixed, labels = CutMix(seed=3).augment(ops.cast(images, "bfloat16"), images[:, 0, 0])
    counted = array(ops.cast(mixed, "float32")).sum((1, 2)) / (4096 * 3)
    assert array(labels) == pytest.approx(counted, abs=1e-6)
    assert len(set(counted.ravel())) > 3
    assert keras.backend.standardize_dtype(mixed.dtype) == "bfloat16"

"""Image files of every kind through records: their pixels, their bytes, their faults."""

import io
import json
import os
import re
import shutil
import struct
import zlib

import datasets
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from keras_sched import tfrecord

datasets.disable_progress_bars()

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 8), dtype="uint8")
RGB = RANDOM.integers(0, 256, (6, 8, 3), dtype="uint8")
RGBA = RANDOM.integers(0, 256, (6, 8, 4), dtype="uint8")
DEEP = RANDOM.integers(0, 2**16, (6, 8), dtype="uint16")


def encoded(image, form, **how):
    """Returns an image file, by PIL."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def palette(transparent=False):
    image = Image.fromarray(RGB).quantize(16)
    if transparent:
        image.info["transparency"] = 3
    return image


def as_pil_has_it(content, mode):
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert(mode))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


JPEG, PNG = encoded(RGB, "jpeg"), encoded(RGB, "png")
BMP, GIF = encoded(RGB, "bmp"), encoded(RGB, "gif")
WEBP = encoded(RGB, "webp", lossless=True)
LA = Image.fromarray(RGBA).convert("LA")
DEEP_RGB = tf.io.encode_png(RGB.astype("uint16") * 257).numpy()
FILM = b"\0\0\0\x18ftypmp42" + bytes(99) + b"\xff\xda\0\0IEN"  # As phones append.
TURNED = [Image.fromarray(RGB[::-1].copy())]
KINDS = {  # Of which kind: the file, the pixels that it has.
    "jpeg": (JPEG, tf.io.decode_jpeg(JPEG).numpy()),
    "grey.jpeg": (encoded(GREY, "jpeg"), None),
    "progressive.jpeg": (encoded(RGB, "jpeg", progressive=True), None),
    "png": (PNG, RGB),
    "grey.png": (encoded(GREY, "png"), GREY[:, :, None]),
    "rgba.png": (encoded(RGBA, "png"), RGBA),
    "grey_alpha.png": (encoded(LA, "png"), np.asarray(LA.convert("RGBA"))),
    "palette.png": (encoded(palette(), "png"), np.asarray(palette().convert("RGB"))),
    "clear.png": (
        encoded(palette(True), "png"),
        np.asarray(palette(True).convert("RGBA")),
    ),
    "one_bit.png": (
        encoded(Image.fromarray(GREY > 99), "png"),
        (GREY > 99)[:, :, None] * np.uint8(255),
    ),
    "deep.png": (encoded(DEEP, "png"), DEEP[:, :, None]),
    "deep_rgb.png": (DEEP_RGB, RGB),
    "bmp": (BMP, RGB),
    "grey.bmp": (encoded(GREY, "bmp"), np.dstack([GREY] * 3)),
    "gif": (GIF, as_pil_has_it(GIF, "RGB")),
    "moving.gif": (
        encoded(palette(), "gif", save_all=True, append_images=TURNED),
        np.asarray(palette().convert("RGB")),
    ),
    "moving.png": (encoded(RGB, "png", save_all=True, append_images=TURNED), RGB),
    "film.jpeg": (JPEG + FILM, tf.io.decode_jpeg(JPEG).numpy()),
    "film.png": (PNG + FILM, RGB),
    "webp": (WEBP, RGB),
    "rgba.webp": (encoded(RGBA, "webp", lossless=True, exact=True), RGBA),
}
KINDS |= {
    kind: (content, tf.io.decode_jpeg(content).numpy())
    for kind, (content, pixels) in KINDS.items()
    if pixels is None
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def convert(source, directory, **how):
    return tfrecord.convert(source, directory, progress=False, **how)


def loaded(directory, **how):
    return list(tfrecord.load(directory, **how).as_numpy_iterator())


def named(directory, **how):
    """Returns the images of a folder by the names of their files."""
    rows = loaded(directory, as_supervised=False, **how)
    return {row["file_name"].decode().split("/")[-1]: row["image"] for row in rows}


def written(folder, contents):
    """Writes files into a class folder, by name; returns the folder of classes."""
    (folder / "in" / "class").mkdir(parents=True)
    for name, content in contents.items():
        (folder / "in" / "class" / name).write_bytes(content)
    return folder / "in"


def stored(directory):
    """Returns the bytes of the images in the records."""
    files = sorted(map(str, directory.glob("*.tfrecord-*-of-?????")))
    records = tf.data.TFRecordDataset(files).as_numpy_iterator()
    found = [tf.train.Example.FromString(record).features.feature for record in records]
    return [feature["image"].bytes_list.value[0] for feature in found]


def assert_identical(got, expected):
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert got.tobytes() == expected.tobytes()


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Returns a CSV of two lines, with a column of images for each kind."""
    folder = tmp_path_factory.mktemp("album")
    for kind, (content, _) in KINDS.items():
        (folder / f"a.{kind}").write_bytes(content)
    files = [f"a.{kind}" for kind in KINDS]
    lines = [",".join(map(column, KINDS)), ",".join(files), ",".join(files)]
    (folder / "album.csv").write_text("\n".join(lines))
    return folder


def column(kind):
    return kind.replace(".", "_")


@pytest.fixture(scope="module")
def kept(album):
    """Returns the records of the files as they are."""
    convert(album / "album.csv", album / "kept")
    return album / "kept"


@pytest.fixture(scope="module")
def spec(kept):
    return tfrecord.load(kept, batch_size=2).element_spec


@pytest.fixture(scope="module")
def batch(kept):
    (images,) = loaded(kept, batch_size=2)
    return images


@pytest.fixture(scope="module")
def raw_batch(album):
    convert(album / "album.csv", album / "raw", image_format="raw")
    (images,) = loaded(album / "raw", batch_size=2)
    return images


@pytest.fixture(scope="module")
def tfds_row(kept):
    data = tfds.builder_from_directory(kept).as_dataset(split="train")
    return next(data.as_numpy_iterator())


@every_kind
def test_load_gives_the_pixels(batch, kind):
    assert_identical(batch[column(kind)], np.stack([KINDS[kind][1]] * 2))


@every_kind
def test_the_shape_of_images_of_one_size_is_known(spec, kind):
    assert spec[column(kind)].shape == (2, *KINDS[kind][1].shape)


@every_kind
def test_raw_stores_the_pixels(raw_batch, kind):
    content, pixels = KINDS[kind]
    if kind.endswith("jpeg"):  # PIL and TensorFlow round them in their own ways.
        pixels = np.asarray(Image.open(io.BytesIO(content))).reshape(pixels.shape)
    assert_identical(raw_batch[column(kind)], np.stack([pixels] * 2))


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.endswith(("gif", "webp"))])
def test_tfds_gives_the_pixels(tfds_row, kind):
    assert_identical(tfds_row[column(kind)], KINDS[kind][1])


@pytest.mark.parametrize("kind", [k for k in KINDS if k.endswith(("gif", "webp"))])
def test_tfds_gives_the_bytes_of_images_that_it_cannot_decode(tfds_row, kind):
    assert tfds_row[column(kind)] == KINDS[kind][0]


def test_tfds_opens_a_folder_in_which_one_image_is_a_gif(tmp_path):
    contents = {"0.gif": GIF, "1.png": PNG}
    convert(written(tmp_path, contents), tmp_path / "out")
    data = tfds.builder_from_directory(tmp_path / "out").as_dataset(split="train")
    rows = list(data.as_numpy_iterator())
    assert {row["file_name"].decode()[6:]: row["image"] for row in rows} == contents


@pytest.mark.parametrize("image_format", ["keep", "raw"])
def test_of_a_jpeg_with_two_pictures_the_first_is_read(tmp_path, image_format):
    two = encoded(RGB, "mpo", save_all=True, append_images=TURNED)
    source = written(tmp_path, {"0.jpg": two})
    convert(source, tmp_path / "out", image_format=image_format)
    first = tf.io.decode_jpeg(two).numpy().astype(int)
    assert np.abs(named(tmp_path / "out")["0.jpg"] - first).max() < 4


def test_a_bmp_with_a_palette_is_never_read_as_other_colours(tmp_path):
    convert(
        written(tmp_path, {"0.bmp": encoded(palette(), "bmp"), "1.png": PNG}),
        tmp_path / "out",
        on_error="skip",
    )
    got = named(tmp_path / "out")
    expected = {"0.bmp": np.asarray(palette().convert("RGB")), "1.png": RGB}
    for name in got:  # Refused, or read right.
        assert_identical(got[name], expected[name])


CLEAR_WEBP = encoded(RGBA, "webp", lossless=True, exact=True)
MIXED = {
    "grey": {"0.png": encoded(GREY, "png"), "1.png": PNG},
    "alpha": {"0.png": encoded(RGBA, "png"), "1.png": PNG},
    "every format": {"1.png": PNG, "2.bmp": BMP, "3.gif": GIF, "4.webp": WEBP},
    "grey with alpha": {"0.png": encoded(LA, "png"), "1.png": encoded(GREY, "png")},
    "webp with alpha": {"0.webp": CLEAR_WEBP, "1.webp": WEBP},
}


@pytest.mark.parametrize("image_format", ["keep", "raw"])
@pytest.mark.parametrize("kind", MIXED)
def test_images_of_several_kinds_are_read_as_colours(tmp_path, kind, image_format):
    contents = MIXED[kind]
    convert(written(tmp_path, contents), tmp_path / "out", image_format=image_format)
    got = named(tmp_path / "out")
    for name, content in contents.items():
        assert_identical(got[name], as_pil_has_it(content, "RGB"))


SIZES = [(6, 8), (5, 7), (9, 4)]


@pytest.fixture(scope="module")
def several_sizes(tmp_path_factory):
    """Returns a folder of records with PNG files of three sizes, and their pixels."""
    folder = tmp_path_factory.mktemp("sizes")
    pixels = {
        f"{h}.png": RANDOM.integers(0, 256, (h, w, 3), dtype="uint8") for h, w in SIZES
    }
    contents = {name: encoded(image, "png") for name, image in pixels.items()}
    convert(written(folder, contents), folder / "out")
    return folder / "out", pixels


def test_images_of_several_sizes_come_one_by_one(several_sizes):
    directory, pixels = several_sizes
    got = named(directory)
    assert tfrecord.load(directory).element_spec[0].shape.as_list() == [None, None, 3]
    assert {name: image.tobytes() for name, image in got.items()} == {
        name: image.tobytes() for name, image in pixels.items()
    }


def test_images_of_several_sizes_are_not_batched(several_sizes):
    directory, _ = several_sizes
    why = r"`batch_size` of load must be None where records differ in shape, .*image_size"
    with pytest.raises(ValueError, match=why) as caught:
        tfrecord.load(directory, batch_size=2)
    assert "\n" not in str(caught.value)


def test_image_size_resizes_all_to_one(several_sizes):
    directory, pixels = several_sizes
    data = tfrecord.load(directory, batch_size=3, image_size=(4, 5), as_supervised=False)
    assert data.element_spec["image"].shape == (3, 4, 5, 3)
    (batch,) = data.as_numpy_iterator()
    for name, image in zip(batch["file_name"], batch["image"]):
        exact = pixels[name.decode().split("/")[1]]
        exact = tf.image.resize(exact, (4, 5), antialias=True).numpy()
        assert_identical(image, exact.round().clip(0, 255).astype("uint8"))


def test_image_size_leaves_images_of_that_size_alone(several_sizes):
    directory, pixels = several_sizes
    assert_identical(named(directory, image_size=SIZES[0])["6.png"], pixels["6.png"])


ARRAYS = {"grey": GREY[..., None], "colours": RGB, "alpha": RGBA}


@pytest.mark.parametrize("form", ["jpeg", "png", "bmp", "gif", "webp"])
def test_arrays_become_image_files_of_the_format(tmp_path, form):
    for kind, array in ARRAYS.items():
        convert({"image": array[None]}, tmp_path / kind, image_format=form)
        (content,) = stored(tmp_path / kind)
        image = Image.open(io.BytesIO(content))
        assert (image.format.lower(), image.size) == (form, (8, 6))


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (k, f)
        for k in ARRAYS
        for f in ("png", "webp", "bmp")
        if (k, f) != ("alpha", "bmp")
    ],
)
def test_arrays_come_back_from_formats_without_loss(tmp_path, kind, form):
    array = ARRAYS[kind]
    convert({"x": array[None]}, tmp_path, image_format=form)
    (row,) = loaded(tmp_path)
    channels = 3 if kind == "grey" and form != "png" else array.shape[2]
    assert_identical(row["x"], np.broadcast_to(array, (6, 8, channels)).copy())


def test_arrays_come_back_nearly_from_jpeg(tmp_path):
    smooth = np.linspace(40, 200, 6 * 8 * 3).reshape(1, 6, 8, 3).astype("uint8")
    convert({"x": smooth}, tmp_path, image_format="jpeg")
    (row,) = loaded(tmp_path)
    assert np.abs(row["x"].astype(int) - smooth[0]).max() < 12


def test_arrays_that_are_no_images_stay_arrays(tmp_path):
    source = {
        "flat": GREY[None],
        "deep": DEEP[None, :, :, None],
        "five": np.zeros((1, 2, 2, 5), "uint8"),
    }
    convert(source, tmp_path, image_format="png")
    (row,) = loaded(tmp_path)
    for name, array in source.items():
        assert_identical(row[name], array[0])


def test_arrays_of_several_sizes_become_image_files(tmp_path):
    arrays = [RGB, RGB[:4], RGB[:, :5]]
    convert({"x": arrays}, tmp_path, image_format="png")
    for row, array in zip(loaded(tmp_path), arrays):
        assert_identical(row["x"], np.ascontiguousarray(array))


@pytest.mark.parametrize("form", ["png", "webp", "bmp"])
def test_a_folder_becomes_files_of_another_format(tmp_path, form):
    source = written(tmp_path, {"0.png": PNG, "1.bmp": BMP, "2.webp": WEBP})
    convert(source, tmp_path / "out", image_format=form)
    files = stored(tmp_path / "out")
    assert {Image.open(io.BytesIO(file)).format.lower() for file in files} == {form}
    for image in named(tmp_path / "out").values():
        assert_identical(image, RGB)


@pytest.mark.parametrize("form", ["png", "webp", "bmp", "jpeg", "gif"])
def test_files_that_have_the_format_already_keep_their_bytes(tmp_path, form):
    content = {"png": PNG, "webp": WEBP, "bmp": BMP, "jpeg": JPEG, "gif": GIF}[form]
    source = written(tmp_path, {f"0.{form}": content, "1.png": PNG})
    convert(source, tmp_path / "out", image_format=form)
    assert content in stored(tmp_path / "out")


def test_raw_images_of_one_size_are_records_of_one_length(tmp_path):
    rows = ["path,label", "0.png,1", "1.png,0"]
    (tmp_path / "data.csv").write_text("\n".join(rows))
    for name in "0.png", "1.png":
        (tmp_path / name).write_bytes(PNG)
    convert(tmp_path / "data.csv", tmp_path / "out", image_format="raw")
    ((images, labels),) = loaded(tmp_path / "out", batch_size=2)
    assert_identical(images, np.stack([RGB] * 2))
    assert labels.tolist() == [1, 0]


def bomb():
    """Returns a PNG whose head says that it has 900 million pixels."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")


BROKEN = {
    "empty.jpg": (b"", "is empty"),
    "text.jpg": (b"This is no picture.", "is no image, or its head is damaged"),
    "half.jpg": (JPEG[: len(JPEG) // 2], "is (no image|cut off)"),
    "half_of_a_large.jpg": (None, "is cut off before its end"),
    "half.png": (PNG[: len(PNG) // 2], "is cut off before its end"),
    "half.bmp": (BMP[: len(BMP) // 2], "is (no image|cut off)"),
    "half.gif": (GIF[:-20], "is cut off before its end"),
    "half.webp": (WEBP[: len(WEBP) // 2], "is (no image|cut off)"),
    "tiff.png": (
        encoded(RGB, "tiff"),
        "is of the format tiff, not of jpeg, png, bmp, gif",
    ),
    "moving.webp": (
        encoded(RGB, "webp", lossless=True, save_all=True, append_images=TURNED),
        "is an animated WebP",
    ),
    "bomb.png": (bomb(), "is (no image|too large)"),
}
LARGE = encoded(RANDOM.integers(0, 256, (60, 80, 3), dtype="uint8"), "jpeg")
BROKEN["half_of_a_large.jpg"] = LARGE[: len(LARGE) // 2], BROKEN["half_of_a_large.jpg"][1]
GOOD = {"good.jpg": JPEG, "good.png": PNG, "good.gif": GIF}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("image_format", ["keep", "png"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_named_with_the_reason(tmp_path, name, image_format):
    content, reason = BROKEN[name]
    source = written(tmp_path, GOOD | {name: content})
    why = rf"class/{re.escape(name)}: {reason}"
    with pytest.raises(ValueError, match=why):
        convert(source, tmp_path / "out", image_format=image_format)


@pytest.mark.parametrize("image_format", ["keep", "png", "raw"])
def test_broken_images_are_left_out_and_noted_and_no_others(tmp_path, image_format):
    contents = GOOD | {name: content for name, (content, _) in BROKEN.items()}
    how = {"name": "d", "on_error": "skip", "image_format": image_format}
    split = convert(written(tmp_path, contents), tmp_path / "out", **how)
    lines = (tmp_path / "out" / "d-train.rejects.jsonl").read_text().splitlines()
    noted = {one["row"]: one["reason"] for one in map(json.loads, lines)}
    assert set(noted) == {f"class/{name}" for name in BROKEN}
    for name, (_, reason) in BROKEN.items():
        assert re.match(reason, noted[f"class/{name}"])
    assert split.records == len(GOOD)
    assert set(named(tmp_path / "out")) == set(GOOD)


def test_broken_images_are_noted_alike_by_processes(tmp_path):
    contents = GOOD | {name: content for name, (content, _) in BROKEN.items()}
    source = written(tmp_path, contents)
    for workers in 1, 2:
        how = {"name": "d", "on_error": "skip", "shards": 2, "workers": workers}
        convert(source, tmp_path / str(workers), **how)
    one, two = (
        {file.name: file.read_bytes() for file in (tmp_path / number).iterdir()}
        for number in "12"
    )
    assert one == two


def test_a_file_of_broken_images_alone_leaves_a_dataset_that_is_read(tmp_path):
    contents = {f"{n}.png": b"" for n in range(7)} | {"7.png": PNG}
    how = {"on_error": "skip", "shards": 8}
    convert(written(tmp_path, contents), tmp_path / "out", **how)
    assert list(named(tmp_path / "out")) == ["7.png"]
    data = tfds.builder_from_directory(tmp_path / "out").as_dataset(split="train")
    assert len(list(data)) == 1


@pytest.mark.parametrize("image_format", ["keep", "jpeg", "raw"])
def test_images_that_are_all_broken_are_refused(tmp_path, image_format):
    source = written(tmp_path, {"0.jpg": b"", "1.jpg": b"text"})
    how = {"on_error": "skip", "image_format": image_format}
    with pytest.raises(ValueError, match="`source` of convert must be"):
        convert(source, tmp_path / "out", **how)


@pytest.fixture
def table(tmp_path):
    """Returns a CSV of three images, of which the second is not there."""
    for name in "a.png", "c.png":
        (tmp_path / name).write_bytes(PNG)
    lines = ["path,label", "a.png,cat", "b.png,dog", "c.png,cat"]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    return tmp_path / "data.csv"


@pytest.mark.parametrize("image_format", ["keep", "png", "raw"])
def test_a_file_that_a_csv_names_in_vain_is_named_with_its_line(
    table, tmp_path, image_format
):
    with pytest.raises(ValueError, match=r"data\.csv, line 3: No such file"):
        convert(table, tmp_path / "out", image_format=image_format)


@pytest.mark.parametrize("image_format", ["keep", "png", "raw"])
def test_a_file_that_a_csv_names_in_vain_is_left_out(table, tmp_path, image_format):
    how = {"name": "d", "on_error": "skip", "image_format": image_format}
    convert(table, tmp_path / "out", **how)
    assert set(named(tmp_path / "out")) == {"a.png", "c.png"}
    (line,) = (tmp_path / "out" / "d-train.rejects.jsonl").read_text().splitlines()
    noted = {"row": "data.csv, line 3", "reason": "No such file or directory"}
    assert json.loads(line) == noted


def test_columns_of_a_csv_keep_their_names_beside_that_of_the_images(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    lines = ["path,image,file_name", "a.png,7,first"]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    convert(tmp_path / "data.csv", tmp_path / "out")
    (row,) = loaded(tmp_path / "out", as_supervised=False)
    values = [v for v in row.values() if not isinstance(v, np.ndarray)]
    assert {7, b"first"} <= set(values)


def test_two_columns_of_images_are_read_both(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.png").write_bytes(encoded(GREY, "png"))
    (tmp_path / "data.csv").write_text("left,right,n\na.png,b.png,1\na.png,b.png,2\n")
    convert(tmp_path / "data.csv", tmp_path / "out")
    row, _ = loaded(tmp_path / "out", as_supervised=False)
    assert_identical(row["left"], RGB)
    assert_identical(row["right"], GREY[:, :, None])


def of_data(arrays, files):
    return tf.data.Dataset.from_tensor_slices({"image": arrays})


def of_dicts(arrays, files):
    return [{"image": one} for one in arrays]


def of_hugging_face(arrays, files):
    column = [{"bytes": one, "path": None} for one in files]
    features = datasets.Features({"image": datasets.Image()})
    return datasets.Dataset.from_dict({"image": column}, features=features)


def of_arrays(arrays, files):
    return {"image": arrays}


SOURCES = pytest.mark.parametrize(
    "make",
    [of_arrays, of_data, of_dicts, of_hugging_face],
    ids=lambda make: make.__name__,
)
SEVERAL = RANDOM.integers(0, 256, (5, 6, 8, 3), dtype="uint8")
FILES = [encoded(one, "png") for one in SEVERAL]


@SOURCES
@pytest.mark.parametrize("form", ["png", "jpeg", "bmp", "webp"])
def test_images_of_every_source_become_files_of_the_format(tmp_path, make, form):
    convert(make(SEVERAL, FILES), tmp_path, image_format=form)
    contents = stored(tmp_path)
    assert len(contents) == 5
    for content, pixels in zip(contents, SEVERAL):
        image = Image.open(io.BytesIO(content))
        assert image.format.lower() == form
        if form != "jpeg":
            assert_identical(np.asarray(image), pixels)
    (batch,) = loaded(tmp_path, batch_size=5)
    assert batch["image"].shape == (5, 6, 8, 3)


def test_images_of_tfds_become_files_of_the_format(tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(6, 8, 3))})
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="cats",
        version="1.0.0",
        features=features,
        split_datasets={"train": of_data(SEVERAL, FILES)},
        data_dir=tmp_path / "theirs",
        disable_shuffling=True,
    )
    convert(builder.data_dir, tmp_path / "ours", image_format="bmp")
    pixels = [
        np.asarray(Image.open(io.BytesIO(one))) for one in stored(tmp_path / "ours")
    ]
    np.testing.assert_array_equal(pixels, SEVERAL)
    with pytest.raises(ValueError, match="another than 'raw' for .*'image'"):
        convert(builder.data_dir, tmp_path / "raw", image_format="raw")


@pytest.mark.parametrize("form", ["png", "raw"])
def test_image_files_that_are_mere_bytes_are_refused_with_a_format(tmp_path, form):
    data = tf.data.Dataset.from_tensor_slices({"image": FILES})
    for source in data, of_dicts(FILES, None), {"image": FILES}:
        with pytest.raises(ValueError, match="must be 'keep' for .*'image'"):
            convert(source, tmp_path, image_format=form)
    assert not list(tmp_path.iterdir())


def test_an_image_of_a_row_that_cannot_be_converted_is_left_out(tmp_path):
    source = of_hugging_face(None, [*FILES, PNG[:-20]])
    with pytest.raises(ValueError, match="row 5: is cut off"):
        convert(source, tmp_path / "a", image_format="bmp")
    split = convert(source, tmp_path / "b", image_format="bmp", on_error="skip")
    assert (split.records, split.left_out) == (5, 1)


def smooth(seed, side=120):
    """Returns an image that compresses well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype="uint8")
    return Image.fromarray(coarse).resize((side, side))


@pytest.mark.parametrize("kind", ["folder", "hugging face", "data"])
@pytest.mark.parametrize("form", ["bmp", "png"])
def test_files_are_about_as_long_as_asked_whatever_the_format(tmp_path, kind, form):
    files = [encoded(smooth(n), "jpeg") for n in range(40)]
    if kind == "folder":
        source = written(tmp_path, {f"{n:02}.jpg": c for n, c in enumerate(files)})
    elif kind == "data":
        source = of_data(np.array([np.asarray(smooth(n)) for n in range(40)]), None)
    else:
        source = of_hugging_face(None, files)
    how = dict(shard_bytes=200_000, image_format=form)
    split = convert(source, tmp_path / "out", **how)
    longest = max(shard.bytes for shard in split.shards)
    assert 100_000 < longest < 300_000 or len(split.shards) == 1
    assert split.bytes < 300_000 or len(split.shards) > 1


def test_the_room_on_the_disk_is_that_of_the_images_as_they_are_written(
    tmp_path, monkeypatch
):
    files = {f"{n}.jpg": encoded(smooth(n), "jpeg") for n in range(9)}
    source = written(tmp_path, files)
    free = shutil.disk_usage(tmp_path)._replace(free=200_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    assert sum(map(len, files.values())) < 50_000
    with pytest.raises(OSError, match="are to be written"):
        convert(source, tmp_path / "out", image_format="bmp")
    assert not list(tmp_path.glob("out/*"))


def write_table(folder, *lines):
    """Writes a CSV beside three images; returns its path."""
    for name in "a.png", "b.png", "c.png":
        (folder / name).write_bytes(PNG)
    (folder / "b.tiff").write_bytes(encoded(RGB, "tiff"))
    (folder / "data.csv").write_text("\n".join(["path,label", *lines]))
    return folder / "data.csv"


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ("b.tiff,dog", "is of the format tiff, not of"),
        (",dog", "has no path"),
        ("none,dog", "No such file"),
    ],
)
def test_an_odd_path_of_a_csv_is_named_and_the_others_are_images(tmp_path, odd, reason):
    source = write_table(tmp_path, "a.png,cat", odd)
    with pytest.raises(ValueError, match=rf"data\.csv, line 3: {reason}"):
        convert(source, tmp_path / "a")
    convert(source, tmp_path / "b", on_error="skip")
    (image, _), *_ = loaded(tmp_path / "b")
    assert_identical(image, RGB)


@pytest.mark.parametrize(("others", "is_image"), [(9, True), (10, False)])
def test_a_column_of_which_less_than_a_tenth_are_images_is_text(
    tmp_path, others, is_image
):
    source = write_table(tmp_path, "a.png,cat", *[f"text {n},cat" for n in range(others)])
    convert(source, tmp_path / "out", on_error="skip")
    row = loaded(tmp_path / "out", as_supervised=False)[0]
    assert ("image" in row, "path" in row) == (is_image, not is_image)


def test_a_file_whose_name_is_no_text_is_named_and_left_out(tmp_path):
    source = written(tmp_path, {"a.png": PNG, "b.png": PNG})
    odd = os.fsencode(source / "class") + b"/caf\xe9.png"
    with open(odd, "wb") as file:
        file.write(PNG)
    with pytest.raises(ValueError, match=r"class/caf\udce9\.png: has a name that is not"):
        convert(source, tmp_path / "a")
    convert(source, tmp_path / "b", on_error="skip", name="d")
    assert set(named(tmp_path / "b")) == {"a.png", "b.png"}
    (line,) = (tmp_path / "b" / "d-train.rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["row"] == "class/caf\udce9.png"


def harmed(content):
    """Returns a JPEG with a sound head and end that TensorFlow does not decode."""
    at = content.rindex(b"\xff\xda") + 2
    return content[:at] + bytes(6) + content[at + 6 :]


@pytest.fixture
def one_undecodable(tmp_path):
    """Returns a function that makes a folder of six records of which one is harmed."""

    def make(sizes):
        sides = RANDOM.integers(0, 256, (6, 9, 8, 3), dtype="uint8")
        files = {
            f"{n}.jpg": encoded(a[: 9 - n % sizes], "jpeg") for n, a in enumerate(sides)
        }
        files["3.jpg"] = harmed(files["3.jpg"])
        convert(written(tmp_path, files), tmp_path / "out", name="d")
        return tmp_path / "out"

    return make


@pytest.mark.parametrize(
    ("sizes", "how"),
    [
        (1, {}),
        (1, {"batch_size": 4}),
        (1, {"batch_size": 4, "cache": False, "shuffle": True, "seed": 1}),
        (3, {}),
        (3, {"shuffle": True, "seed": 1, "shard": (0, 1)}),
        (3, {"batch_size": 2, "image_size": (5, 5)}),
    ],
)
@pytest.mark.parametrize("on_corrupt", ["raise", "skip"])
def test_a_record_that_cannot_be_decoded_is_named(
    one_undecodable, sizes, how, on_corrupt
):
    directory = one_undecodable(sizes)
    (damage,) = tfrecord.verify(directory, decode=True).damages
    assert re.fullmatch("cannot be decoded: .*JPEG data.*", damage.what)
    place = f"{damage.file}, record {damage.record}, byte {damage.offset}: "
    with pytest.raises(tf.errors.OpError, match=f"{place}cannot be decoded: .*JPEG data"):
        loaded(directory, on_corrupt=on_corrupt, **how)


def test_repair_takes_out_what_cannot_be_decoded_when_it_is_told_to(one_undecodable):
    directory = one_undecodable(3)
    assert str(tfrecord.repair(directory, dry_run=False)) == "nothing to repair"
    (mended,) = tfrecord.repair(directory, decode=True).mended
    assert (mended.records, mended.kept) == (6, 5)
    assert not tfrecord.verify(directory, decode=True).sound
    tfrecord.repair(directory, decode=True, dry_run=False)
    assert tfrecord.verify(directory, decode=True).sound
    rows = named(directory)
    assert set(rows) == {"0.jpg", "1.jpg", "2.jpg", "4.jpg", "5.jpg"}
    assert str(tfrecord.repair(directory, decode=True)) == "nothing to repair"


def test_repair_decodes_what_is_left_of_a_file_that_is_damaged_too(one_undecodable):
    directory = one_undecodable(3)
    (path,) = directory.glob("*-of-00001")
    path.write_bytes(path.read_bytes()[:-1])
    (mended,) = tfrecord.repair(directory, decode=True, dry_run=False).mended
    assert (mended.records, mended.kept) == (6, 4)
    assert tfrecord.verify(directory, decode=True).sound
    assert len(named(directory)) == 4

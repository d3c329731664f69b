"""Every source that `convert` takes, read back by `load`, by TFDS and by others."""

import csv
import functools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import datasets
import ml_dtypes  # noqa: F401  NumPy knows bfloat16 by name once this is loaded.
import numpy as np
import pandas
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from keras_sched import tfrecord
from keras_sched.tfrecord import metadata, parse

datasets.disable_progress_bars()

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
DTYPES = [*INTEGERS, *FLOATS, "bool"]
TEXTS = ["", "a", "Größe", "日本", "two words"]
X = np.arange(3)


def convert(source, directory, **how):
    return tfrecord.convert(source, directory, progress=False, **how)


def loaded(directory, split="train", **how):
    return list(tfrecord.load(directory, split, **how).as_numpy_iterator())


def by_tfds(directory, split="train"):
    data = tfds.builder_from_directory(directory).as_dataset(split=split)
    return list(data.as_numpy_iterator())


def noise(dtype, shape):
    """Returns bits at random: among floats also infinities, NaN and subnormals."""
    if dtype == "bool":
        return np.arange(np.prod(shape)).reshape(shape) % 3 == 1
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(np.random.default_rng(1).bytes(size), dtype).reshape(shape)


def bare(value):
    """Returns a nest with each value as dtype, shape and bytes, to be compared."""
    if isinstance(value, dict):
        return {key: bare(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        return tuple(map(bare, value))
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        array = np.array(value, object)  # NumPy's own strings lose zeros at their ends.
        texts = [t.encode() if isinstance(t, str) else t for t in array.ravel()]
        return "string", array.shape, texts
    return array.dtype.name, array.shape, array.tobytes()


def in_order(rows):
    """Returns rows in the order of their names, where they have any."""
    named = "file_name" in rows[0]
    return sorted(rows, key=lambda row: bare(row["file_name"])) if named else rows


def rows_of(arrays):
    count = len(next(iter(arrays.values())))
    return [{name: array[n] for name, array in arrays.items()} for n in range(count)]


def picture(path, seed=0):
    """Writes an image of noise; returns its bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype="uint8")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path.read_bytes()


def decoded(content):
    return tf.io.decode_image(content, 3, expand_animations=False).numpy()


def class_folders(root, classes=("cat", "dog"), count=3):
    """Writes a folder of images, one a class; returns the rows it should become."""
    rows = []
    for label, name in enumerate(classes):
        for number in range(count):
            path = root / name / f"{number}.jpg"
            image = decoded(picture(path, seed=10 * label + number))
            file = path.relative_to(root).as_posix()
            rows.append({"file_name": file, "image": image, "label": np.int64(label)})
    return rows


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


# Each of these returns a source, and the rows that have to come back by name.


def dict_of_arrays(folder):
    source = {"x": noise("float32", (5, 3)), "n": np.arange(5)}
    return source, rows_of(source)


def nested_dicts(folder):
    x, a, b = noise("int16", (4, 2)), np.arange(4), np.array(TEXTS[:4])
    rows = [{"x": x[n], "in": {"a": a[n], "deep": {"b": b[n]}}} for n in range(4)]
    return {"x": x, "in": {"a": a, "deep": {"b": b}}}, rows


def pair(folder):
    x, y = noise("uint8", (5, 2, 3, 1)), np.arange(5)
    return (x, y), rows_of({"image": x, "label": y})


def pair_of_nests(folder):
    x, y, z = np.arange(4), noise("float32", (4, 2)), noise("bool", (4,))
    rows = [
        {"features": {"a": x[n], "b": y[n]}, "label": {"0": z[n], "1": x[n]}}
        for n in range(4)
    ]
    return ({"a": x, "b": y}, (z, x)), rows


def with_sample_weights(folder):
    x, y, weight = noise("float32", (5, 4)), np.arange(5), np.linspace(0, 1, 5)
    return (x, y, weight), rows_of({"features": x, "label": y, "sample_weight": weight})


def four_parts(folder):
    parts = tuple(noise(dtype, (4, 2)) for dtype in ("int8", "int16", "bool", "uint8"))
    return parts, rows_of({str(number): part for number, part in enumerate(parts)})


def bare_array(folder):
    x = noise("float16", (6, 2))
    return x, rows_of({"features": x})


def arrays_that_differ_in_shape(folder):
    grids = [np.ones((n, n + 1), "int16") * n for n in range(4)]
    lists = [np.arange(n) for n in range(4)]
    source = {"grid": grids, "list": lists, "text": TEXTS[:4]}
    return source, rows_of(source)


def npz_file(folder):
    arrays = {"a": noise("float64", (4, 2)), "b": np.arange(4)}
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz", rows_of(arrays)


def data_of_pairs(folder):
    x, y = noise("uint8", (6, 2, 3, 1)), np.arange(6, dtype="int32")
    return tf.data.Dataset.from_tensor_slices((x, y)), rows_of({"image": x, "label": y})


def data_of_nested_dicts(folder):
    x, s = noise("bfloat16", (5, 2)), np.arange(5)
    rows = [{"x": x[n], "in": {"s": s[n], "text": TEXTS[n]}} for n in range(5)]
    nest = {"x": x, "in": {"s": s, "text": TEXTS}}
    return tf.data.Dataset.from_tensor_slices(nest), rows


def data_of_scalars(folder):
    return tf.data.Dataset.range(7), rows_of({"features": np.arange(7)})


def data_of_unknown_shapes(folder):
    rows = [
        {"grid": np.full((n % 3, 2), n, "float32"), "words": np.array(TEXTS[:n], object)}
        for n in range(5)
    ]
    signature = {
        "grid": tf.TensorSpec([None, None], "float32"),
        "words": tf.TensorSpec([None], "string"),
    }
    return tf.data.Dataset.from_generator(lambda: rows, output_signature=signature), rows


def data_of_unknown_length(folder):
    source = tf.data.Dataset.range(20).filter(lambda n: n % 3 == 0)
    return source, rows_of({"features": np.arange(0, 20, 3)})


def list_of_dicts(folder):
    rows = [
        {
            "i": n,
            "f": n / 3,
            "b": n % 2 == 0,
            "s": TEXTS[n],
            "in": {"list": [n] * (n + 1), "words": TEXTS[: n + 1]},
            "grid": np.full((n, 2), n, "uint8"),
        }
        for n in range(5)
    ]
    return rows, [row | {"i": np.int64(row["i"])} for row in rows]


def generator_of_dicts(folder):
    rows = [{"x": np.full(n % 4, n, "float32"), "n": n} for n in range(20)]
    return (row for row in rows), rows


def ints_among_floats(folder):
    source = [{"x": 1}, {"x": 2.5}, {"x": 3}]
    return source, [{"x": np.float64(row["x"])} for row in source]


def lists_of_which_one_is_empty(folder):
    source = [{"ids": [1, 2]}, {"ids": []}, {"ids": [3]}]
    return source, [{"ids": np.array(row["ids"], "int64")} for row in source]


def words_of_which_there_are_none(folder):
    source = [{"words": ["a", "b"]}, {"words": []}, {"words": ["c"]}]
    return source, [{"words": np.array(row["words"], object)} for row in source]


def words_that_end_in_zeros(folder):
    source = [{"words": [b"a\0", b"b\0\0"]}, {"words": [b"\0"]}]
    return source, [{"words": np.array(row["words"], object)} for row in source]


def folder_of_class_folders(folder):
    return folder / "in", class_folders(folder / "in")


def csv_with_images(folder):
    rows, expected = [], []
    for number, label in enumerate(["dog", "cat", "dog", "bird"]):
        file = f"pictures/{number}.png"
        image = decoded(picture(folder / file, number))
        one = {"weight": number + 0.5, "note": TEXTS[number]}
        rows.append({"path": file, "label": label} | one)
        expected.append({"file_name": file, "image": image} | one)
    for row, label in zip(expected, [2, 1, 2, 0]):
        row["label"] = np.int64(label)
    return write_csv(folder / "data.csv", rows), expected


def csv_of_numbers_and_texts(folder):
    rows = [{"n": n, "x": n / 4, "text": TEXTS[n]} for n in range(4)]
    return write_csv(folder / "data.csv", rows), rows


def csv_with_a_class(folder):
    names = ["dog", "cat", "dog", "bird"]
    rows = [{"n": n, "class": name} for n, name in enumerate(names)]
    path = write_csv(folder / "data.csv", rows)
    return path, rows_of({"n": np.arange(4), "class": np.array([2, 1, 2, 0])})


def folder_that_tfds_wrote(folder):
    rows, sources = [], []
    for number in range(5):
        path = folder / f"{number}.jpg"
        image = decoded(picture(path, number))
        one = {"file_name": path.name, "box": np.float32([number, 0.5, -1, np.inf])}
        one["tags"], label = np.arange(number), np.int64(number % 2)
        rows.append(one | {"image": image, "label": label})
        sources.append(one | {"image": str(path), "label": ["cat", "dog"][label]})
    features = {
        "file_name": tfds.features.Text(),
        "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
        "tags": tfds.features.Sequence(np.int64),
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
    }
    return stored_by_tfds(folder, features, sources), rows


def stored_by_tfds(folder, features, rows):
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="theirs",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": list(enumerate(rows))},
        data_dir=folder / "tfds",
    )
    return builder.data_dir


def hugging_face(folder):
    grid = np.arange(24, dtype="int32").reshape(4, 2, 3)
    features = datasets.Features(
        {
            "grid": datasets.Array2D((2, 3), "int32"),
            "i": datasets.Value("int32"),
            "f": datasets.Value("float64"),
            "s": datasets.Value("string"),
            "b": datasets.Value("bool"),
            "ids": datasets.List(datasets.Value("int64")),
            "words": datasets.List(datasets.Value("string")),
            "three": datasets.List(datasets.Value("float32"), length=3),
            "kind": datasets.ClassLabel(names=["cat", "dog"]),
        }
    )
    columns = {
        "grid": grid.tolist(),
        "i": [-(2**31), 0, 1, 2**31 - 1],
        "f": [0.1, -np.inf, 1e300, 5e-324],
        "s": TEXTS[:4],
        "b": [True, False, False, True],
        "ids": [[1], [2, 3], [4], []],
        "words": [["a"], TEXTS, ["b", ""], ["c"]],
        "three": [[0.5, 1.5, 2.5]] * 4,
        "kind": [1, 0, 0, 1],
    }
    expected = columns | {
        "grid": grid,
        "i": np.array(columns["i"], "int32"),
        "ids": [np.array(ids, "int64") for ids in columns["ids"]],
        "three": np.array(columns["three"], "float32"),
    }
    return datasets.Dataset.from_dict(columns, features), rows_of(expected)


def hugging_face_with_images(folder):
    paths = [folder / f"{number}.png" for number in range(4)]
    contents = [picture(path, n) for n, path in enumerate(paths)]
    given_as = [str(paths[0]), {"bytes": contents[1], "path": None}, *map(str, paths[2:])]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    columns = {"image": given_as, "label": [0, 1, 1, 0]}
    expected = {"image": list(map(decoded, contents)), "label": columns["label"]}
    return datasets.Dataset.from_dict(columns, features), rows_of(expected)


def part_of_hugging_face(folder):
    whole = datasets.Dataset.from_dict({"n": list(range(10))})
    return whole.select([7, 2, 5]), rows_of({"n": np.array([7, 2, 5])})


SOURCES = [
    dict_of_arrays,
    nested_dicts,
    pair,
    pair_of_nests,
    with_sample_weights,
    four_parts,
    bare_array,
    arrays_that_differ_in_shape,
    npz_file,
    data_of_pairs,
    data_of_nested_dicts,
    data_of_scalars,
    data_of_unknown_shapes,
    data_of_unknown_length,
    list_of_dicts,
    generator_of_dicts,
    ints_among_floats,
    lists_of_which_one_is_empty,
    words_of_which_there_are_none,
    words_that_end_in_zeros,
    folder_of_class_folders,
    csv_with_images,
    csv_of_numbers_and_texts,
    csv_with_a_class,
    folder_that_tfds_wrote,
    hugging_face,
    hugging_face_with_images,
    part_of_hugging_face,
]


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Returns a function: what a source became, as a folder, its splits and rows."""

    @functools.cache
    def get(make):
        folder = tmp_path_factory.mktemp("source")
        source, rows = make(folder)
        return folder / "out", convert(source, folder / "out"), rows

    return get


every_source = pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__)


@every_source
def test_load_gives_every_row_as_it_was(converted, make):
    directory, _, rows = converted(make)
    got = loaded(directory, as_supervised=False)
    assert list(map(bare, in_order(got))) == list(map(bare, in_order(rows)))


@every_source
def test_tfds_gives_every_row_as_it_was(converted, make):
    directory, _, rows = converted(make)
    got = by_tfds(directory)
    assert list(map(bare, in_order(got))) == list(map(bare, in_order(rows)))


@every_source
def test_the_split_that_is_returned_counts_the_rows(converted, make):
    _, split, rows = converted(make)
    assert (split.name, split.records) == ("train", len(rows))


def image_and_label(row):
    return row["image"], row["label"]


STRUCTURES = [
    (pair, image_and_label),
    (data_of_pairs, image_and_label),
    (csv_with_images, image_and_label),
    (hugging_face_with_images, image_and_label),
    (folder_of_class_folders, image_and_label),
    (pair_of_nests, lambda r: (r["features"], (r["label"]["0"], r["label"]["1"]))),
    (with_sample_weights, lambda r: (r["features"], r["label"], r["sample_weight"])),
    (four_parts, lambda r: (r["0"], r["1"], r["2"], r["3"])),
    (bare_array, lambda r: r["features"]),
    (data_of_scalars, lambda r: r["features"]),
    (nested_dicts, lambda r: r),
    (data_of_nested_dicts, lambda r: r),
]


@pytest.mark.parametrize(
    ("make", "structure"), STRUCTURES, ids=lambda value: value.__name__
)
def test_load_gives_the_structure_of_the_source(converted, make, structure):
    directory, _, rows = converted(make)
    got = sorted(map(bare, loaded(directory)), key=repr)
    assert got == sorted((bare(structure(row)) for row in rows), key=repr)


@pytest.mark.parametrize("make", [pair, with_sample_weights, hugging_face_with_images])
def test_tfds_gives_pairs_and_threes_as_supervised(converted, make):
    directory, _, rows = converted(make)
    builder = tfds.builder_from_directory(directory)
    data = builder.as_dataset(split="train", as_supervised=True)
    got = [bare(row) for row in data.as_numpy_iterator()]
    names = [name for name in ("image", "features", "label") if name in rows[0]]
    names += ["sample_weight"] * ("sample_weight" in rows[0])
    assert got == [bare(tuple(row[name] for name in names)) for row in rows]


def features_of(directory, split="train"):
    """Returns the features of each record, as TensorFlow's protocol buffer has them."""
    files = sorted(map(str, directory.glob(f"*-{split}.tfrecord-*-of-?????")))
    records = tf.data.TFRecordDataset(files).as_numpy_iterator()
    return [tf.train.Example.FromString(record).features.feature for record in records]


def image_bytes(directory, split="train"):
    found = features_of(directory, split)
    return [feature["image"].bytes_list.value[0] for feature in found]


@pytest.mark.parametrize(
    "make",
    [
        folder_of_class_folders,
        csv_with_images,
        folder_that_tfds_wrote,
        hugging_face_with_images,
    ],
)
def test_the_very_bytes_of_the_image_files_stand_in_the_records(converted, make):
    directory, _, _ = converted(make)
    every = directory.parent.rglob("*")
    files = [path for path in every if path.suffix in (".jpg", ".png")]
    got = sorted(image_bytes(directory))
    assert got == sorted(path.read_bytes() for path in files)


@pytest.mark.parametrize(
    ("make", "field", "names"),
    [
        (folder_of_class_folders, "label", ["cat", "dog"]),
        (csv_with_images, "label", ["bird", "cat", "dog"]),
        (csv_with_a_class, "class", ["bird", "cat", "dog"]),
        (folder_that_tfds_wrote, "label", ["cat", "dog"]),
        (hugging_face, "kind", ["cat", "dog"]),
    ],
)
def test_tfds_knows_the_names_of_the_classes(converted, make, field, names):
    directory, _, _ = converted(make)
    features = tfds.builder_from_directory(directory).info.features
    assert features[field].names == names


def test_classes_are_numbered_in_the_order_of_their_folders_names(tmp_path):
    class_folders(tmp_path / "in", ("zebra", "Ape", "mule"), count=2)
    convert(tmp_path / "in", tmp_path / "out")
    rows = loaded(tmp_path / "out", as_supervised=False)
    labels = {row["file_name"].split(b"/")[0]: int(row["label"]) for row in rows}
    assert labels == {b"Ape": 0, b"mule": 1, b"zebra": 2}


def test_images_below_a_class_folder_belong_to_its_class(tmp_path):
    picture(tmp_path / "in" / "cat" / "deep" / "0.png")
    picture(tmp_path / "in" / "dog" / "1.PNG")
    picture(tmp_path / "in" / ".hidden" / "2.png")
    (tmp_path / "in" / "dog" / "notes.txt").write_text("no image")
    convert(tmp_path / "in", tmp_path / "out")
    rows = loaded(tmp_path / "out", as_supervised=False)
    found = {(row["file_name"], int(row["label"])) for row in rows}
    assert found == {(b"cat/deep/0.png", 0), (b"dog/1.PNG", 1)}


# Each of these returns a source of several splits, and the rows of each by its name.


def folder_of_split_folders(folder):
    rows = {split: class_folders(folder / "in" / split) for split in ("train", "test")}
    return folder / "in", rows


def npz_of_pairs(folder):
    arrays = {
        "x_train": noise("uint8", (5, 2, 2, 1)),
        "y_train": np.arange(5),
        "x_test": noise("uint8", (3, 2, 2, 1)),
        "y_test": np.arange(3),
    }
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz", {
        split: rows_of({"image": arrays[f"x_{split}"], "label": arrays[f"y_{split}"]})
        for split in ("train", "test")
    }


def dataset_dict(folder):
    parts = {"train": [3, 1, 2], "validation": [5, 4]}
    made = {split: datasets.Dataset.from_dict({"n": n}) for split, n in parts.items()}
    rows = {split: rows_of({"n": np.array(n)}) for split, n in parts.items()}
    return datasets.DatasetDict(made), rows


def dict_of_pairs(folder):
    lengths = {"train": 4, "extra": 3}
    parts = {s: (noise("int8", (n, 2)), np.arange(n)) for s, n in lengths.items()}
    names = "features", "label"
    return parts, {s: rows_of(dict(zip(names, part))) for s, part in parts.items()}


def dict_of_dicts_of_arrays(folder):
    parts = {"train": {"x": X, "y": X / 2}, "test": {"x": X[:2], "y": X[:2] / 4}}
    return parts, {split: rows_of(part) for split, part in parts.items()}


def dict_of_data(folder):
    parts = {"train": np.arange(6), "holdout": np.arange(2)}
    source = {s: tf.data.Dataset.from_tensor_slices({"n": n}) for s, n in parts.items()}
    return source, {split: rows_of({"n": n}) for split, n in parts.items()}


def dict_of_lists_of_dicts(folder):
    source = {"train": [{"n": 1}, {"n": 2}], "test": [{"n": 3}]}
    return source, source


def dict_of_csv_files(folder):
    train = [{"n": 1, "x": 0.5}, {"n": 2, "x": 1.5}]
    parts = {"train": train, "test": [{"n": 3, "x": 2.5}]}
    return {s: write_csv(folder / f"{s}.csv", rows) for s, rows in parts.items()}, parts


SPLITS = [
    folder_of_split_folders,
    npz_of_pairs,
    dataset_dict,
    dict_of_pairs,
    dict_of_dicts_of_arrays,
    dict_of_data,
    dict_of_lists_of_dicts,
    dict_of_csv_files,
]
every_splitting = pytest.mark.parametrize("make", SPLITS, ids=lambda make: make.__name__)


@every_splitting
def test_load_gives_the_rows_of_every_split(converted, make):
    directory, _, rows = converted(make)
    for split, expected in rows.items():
        got = loaded(directory, split, as_supervised=False)
        assert list(map(bare, in_order(got))) == list(map(bare, in_order(expected)))


@every_splitting
def test_tfds_gives_the_rows_of_every_split(converted, make):
    directory, _, rows = converted(make)
    for split, expected in rows.items():
        got = by_tfds(directory, split)
        assert list(map(bare, in_order(got))) == list(map(bare, in_order(expected)))


@every_splitting
def test_the_splits_that_are_returned_are_those_of_the_source(converted, make):
    _, done, rows = converted(make)
    counts = {split: len(expected) for split, expected in rows.items()}
    assert {name: split.records for name, split in done.items()} == counts


@every_splitting
def test_one_split_of_several_is_converted_alone(tmp_path, make):
    source, rows = make(tmp_path)
    wanted = list(rows)[1]
    done = convert(source, tmp_path / "out", split=wanted)
    assert (done.name, done.records) == (wanted, len(rows[wanted]))
    assert list(metadata.read(tmp_path / "out").splits) == [wanted]


@pytest.mark.parametrize("first", ["train", "test"])
def test_a_split_that_lacks_a_class_numbers_the_others_alike(tmp_path, first):
    class_folders(tmp_path / "train", ("ant", "bee", "cow"), count=1)
    class_folders(tmp_path / "test", ("bee", "cow"), count=1)
    order = sorted(["train", "test"], key=lambda split: split != first)
    convert({split: tmp_path / split for split in order}, tmp_path / "out")
    labels = {
        split: sorted(int(label) for _, label in loaded(tmp_path / "out", split))
        for split in order
    }
    assert labels == {"train": [0, 1, 2], "test": [1, 2]}


FIXED = [f"{dtype}_{rank}" for dtype in DTYPES for rank in range(3)]


def every_dtype(count=4):
    arrays = {}
    for name in FIXED:
        dtype, _, rank = name.rpartition("_")
        arrays[name] = noise(dtype, (count, 2, 3)[: int(rank) + 1])
    return arrays


def without_what_tfds_cannot_read(arrays):
    return {n: a for n, a in arrays.items() if n not in ("uint32_1", "uint32_2")}


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """Returns a folder of records of one length, with every dtype."""
    directory = tmp_path_factory.mktemp("fixed")
    convert(without_what_tfds_cannot_read(every_dtype()), directory)
    return directory


@pytest.fixture(scope="module")
def variable(tmp_path_factory):
    """Returns a folder of records of several lengths, with every dtype."""
    directory = tmp_path_factory.mktemp("variable")
    convert(every_dtype() | {"text": TEXTS[:4]}, directory)
    return directory


def columns_of(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def assert_every_bit(rows, names):
    got, expected = columns_of(rows), every_dtype()
    wrong = [n for n in names if bare(np.stack(got[n])) != bare(expected[n])]
    assert wrong == []


def test_load_gives_every_bit_of_records_of_one_length(fixed):
    assert_every_bit(loaded(fixed), without_what_tfds_cannot_read(every_dtype()))


def test_load_gives_every_bit_of_records_of_several_lengths(variable):
    assert_every_bit(loaded(variable), FIXED)


def test_load_gives_every_bit_of_records_parsed_in_batches(variable):
    rows = loaded(variable, batch_size=4)
    got, expected = rows[0], every_dtype()
    assert [n for n in FIXED if bare(got[n]) != bare(expected[n])] == []


def test_tfds_gives_every_bit_of_records_of_one_length(fixed):
    assert_every_bit(by_tfds(fixed), without_what_tfds_cannot_read(every_dtype()))


def test_tfds_gives_every_bit_of_records_of_several_lengths(tmp_path):
    arrays = without_what_tfds_cannot_read(every_dtype())
    convert(arrays | {"text": TEXTS[:4]}, tmp_path)
    assert_every_bit(by_tfds(tmp_path), arrays)


def test_strings_of_every_rank_come_back(tmp_path):
    words = np.array([TEXTS[:4], TEXTS[1:], TEXTS[:4]], object).reshape(3, 2, 2)
    source = {"zero": words[:, 0, 0], "one": words[:, 0], "two": words}
    source["many"] = [TEXTS[:n] for n in (1, 3, 2)]
    convert(source, tmp_path)
    expected = [{name: column[n] for name, column in source.items()} for n in range(3)]
    assert list(map(bare, loaded(tmp_path))) == list(map(bare, expected))


KEYS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/"),
    min_size=1,
    max_size=5,
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@st.composite
def columns(draw, count):
    """Draws values for so many rows: all of one shape, of several, or strings."""
    kind = draw(st.sampled_from(["fixed", "variable", "string", "strings", "bounds"]))
    if kind == "string":
        return draw(st.lists(WORDS, min_size=count, max_size=count))
    if kind == "strings":
        lists = st.lists(WORDS, max_size=3)
        lists = draw(st.lists(lists, min_size=count - 1, max_size=count - 1))
        return [["there must be one"], *lists]
    if kind == "bounds":
        dtype = np.dtype(draw(st.sampled_from(INTEGERS)))
        ends = st.sampled_from([np.iinfo(dtype).min, 0, np.iinfo(dtype).max])
        return np.array(draw(st.lists(ends, min_size=count, max_size=count)), dtype)
    dtype = np.dtype(draw(st.sampled_from([d for d in DTYPES if d != "bfloat16"])))
    shape = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    if kind == "fixed":
        return draw(hnp.arrays(dtype, (count, *draw(shape))))
    rank = draw(st.integers(1, 3))
    shape = hnp.array_shapes(min_dims=rank, max_dims=rank, min_side=0, max_side=3)
    return [draw(hnp.arrays(dtype, draw(shape))) for _ in range(count)]


@st.composite
def nests(draw):
    """Draws dicts of columns, some of them in dicts of their own."""
    count, source = draw(st.integers(1, 8)), {}
    for key in draw(st.sets(KEYS, min_size=1, max_size=3)):
        source[key] = draw(columns(count))
        if draw(st.booleans()):
            inner = draw(st.sets(KEYS, min_size=1, max_size=2))
            source[key] = {name: draw(columns(count)) for name in inner}
    return count, source


def row_of(nest, number):
    if isinstance(nest, dict):
        return {key: row_of(inner, number) for key, inner in nest.items()}
    value = nest[number]
    return np.array(value, object) if isinstance(value, list) else value


@settings(max_examples=25, deadline=None)
@given(nests())
def test_whatever_the_fields_are_load_gives_them_back(drawn):
    count, source = drawn
    with tempfile.TemporaryDirectory() as folder:
        convert({"nest": source, "row": np.arange(count)}, folder)
        got = [bare(row) for row in loaded(folder)]
    nest = {"nest": source, "row": np.arange(count)}
    assert got == [bare(row_of(nest, number)) for number in range(count)]


GOOD = {"x": np.ones(2, "float32"), "s": "text"}
BAD_ROWS = [
    ({"x": np.ones((2, 2), "float32"), "s": "text"}, "`x` is of shape"),
    ({"x": np.ones(2, "complex64"), "s": "text"}, "`x` is not of dtype float32"),
    ({"x": ["a", "b"], "s": "text"}, "`x` is not of dtype float32"),
    ({"x": np.ones(2, "float32"), "s": 7}, "`s` is of type int"),
    ({"x": np.ones(2, "float32"), "s": None}, "`s` is of type NoneType"),
    ({"x": None, "s": "text"}, "`x`"),
    ({"x": [[1.0], [1.0, 2.0]], "s": "text"}, "`x`"),
    ({"x": np.ones(2, "float32")}, "has the fields ['x'], not ['s', 'x']"),
    (GOOD | {"more": 1}, "has the fields ['more', 's', 'x'], not ['s', 'x']"),
    ({"x": np.ones(2, "float32"), "s": ["text"]}, "`s` is of type list"),
    ({}, "has the fields [], not ['s', 'x']"),
    ([1, 2], "is no dict, but of type list"),
    (5, "is no dict, but of type int"),
]
every_bad_row = pytest.mark.parametrize(
    ("bad", "reason"), BAD_ROWS, ids=[str(n) for n in range(len(BAD_ROWS))]
)


@every_bad_row
def test_a_row_that_does_not_fit_is_named_with_the_reason(tmp_path, bad, reason):
    with pytest.raises(ValueError, match=rf"row 2: .*{re.escape(reason)}"):
        convert([GOOD, GOOD, bad, GOOD], tmp_path)


@every_bad_row
def test_a_row_that_does_not_fit_is_left_out_and_noted(tmp_path, bad, reason):
    rows = [GOOD, bad, GOOD, GOOD]
    assert convert(rows, tmp_path, name="d", on_error="skip").records == 3
    (line,) = (tmp_path / "d-train.rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["row"] == "row 1"
    assert reason in json.loads(line)["reason"]


@pytest.mark.parametrize("word", [None, 1, 2.5])
def test_a_list_of_words_with_another_value_is_left_out(tmp_path, word):
    rows = [{"words": ["a", "b"]}, {"words": ["a", word]}, {"words": ["c", "d"]}]
    convert(rows, tmp_path, on_error="skip")
    assert [row["words"].tolist() for row in loaded(tmp_path)] == [
        [b"a", b"b"],
        [b"c", b"d"],
    ]


def test_a_first_row_that_does_not_fit_the_others_is_the_one_left_out(tmp_path):
    convert([{"x": "one"}, {"x": 2}, {"x": 3}], tmp_path, name="d", on_error="skip")
    assert [int(row["x"]) for row in loaded(tmp_path)] == [2, 3]


@pytest.mark.parametrize(
    ("value", "dtype"), [(2.5, "int64"), (2**53 + 1, "float64"), (1j, "float64")]
)
def test_a_late_number_that_the_dtype_cannot_hold_is_named(tmp_path, value, dtype):
    rows = [{"x": np.dtype(dtype).type(1).item()}] * 1000 + [{"x": value}]
    with pytest.raises(ValueError, match=f"row 1000: `x` is not of dtype {dtype}"):
        convert(iter(rows), tmp_path)


def test_each_row_left_out_is_noted_and_no_other(tmp_path):
    rows = [{"x": n if n % 3 else "text", "n": n} for n in range(1, 20)]
    convert(rows, tmp_path, name="d", on_error="skip")
    kept = [int(row["n"]) for row in loaded(tmp_path)]
    lines = (tmp_path / "d-train.rejects.jsonl").read_text().splitlines()
    noted = [int(json.loads(line)["row"].removeprefix("row ")) + 1 for line in lines]
    assert kept == [n for n in range(1, 20) if n % 3]
    assert noted == [3, 6, 9, 12, 15, 18]


def test_rows_left_out_leave_no_file_that_tfds_cannot_read(tmp_path):
    rows = [{"x": "text" if n in (2, 3, 5) else n} for n in range(8)]
    convert(rows, tmp_path, shards=4, on_error="skip")
    assert [int(row["x"]) for row in by_tfds(tmp_path)] == [0, 1, 4, 6, 7]


def test_a_later_conversion_without_bad_rows_removes_the_note(tmp_path):
    convert([{"x": 1}, {"x": "a"}], tmp_path, name="d", on_error="skip")
    convert([{"x": 1}, {"x": 2}], tmp_path, overwrite=True)
    assert not (tmp_path / "d-train.rejects.jsonl").exists()


def test_data_of_which_no_row_can_be_written_are_refused(tmp_path):
    bad = datasets.Dataset.from_dict(
        {"image": [{"bytes": b"", "path": None}] * 3},
        datasets.Features({"image": datasets.Image()}),
    )
    with pytest.raises(ValueError, match="must be rows of which some can be written"):
        convert(bad, tmp_path, on_error="skip")


def test_an_image_of_hugging_face_that_is_not_there_is_named(tmp_path):
    source = lost_image(tmp_path)
    with pytest.raises(ValueError, match="row 1: .*No such file"):
        convert(source, tmp_path / "out")


def test_an_image_of_hugging_face_that_is_not_there_is_left_out(tmp_path):
    convert(lost_image(tmp_path), tmp_path / "out", on_error="skip")
    assert [int(row["n"]) for row in loaded(tmp_path / "out")] == [0, 2]


def lost_image(folder):
    paths = [folder / f"{number}.png" for number in range(3)]
    for path in paths:
        picture(path)
    columns = {"image": list(map(str, paths)), "n": [0, 1, 2]}
    features = {"image": datasets.Image(), "n": datasets.Value("int64")}
    made = datasets.Dataset.from_dict(columns, datasets.Features(features))
    paths[1].unlink()
    return made


THEIRS = """
import json, sys
from tfrecord.reader import tfrecord_loader
found = {}
for file in sys.argv[1:]:
    for shard in None, (0, 2), (1, 2):
        index = shard and file + ".idx"
        rows = tfrecord_loader(file, index, {"n": "int", "x": "byte"}, shard)
        read = [[int(row["n"][0]), bytes(row["x"]).hex()] for row in rows]
        found[f"{file} {shard}"] = read
print(json.dumps(found))
"""
INTEROP = {
    "fixed": np.stack([np.arange(3, dtype="float32") * n for n in range(6)]),
    "variable": [np.arange(n, dtype="float32") for n in range(1, 7)],
}


@pytest.fixture(scope="module")
def by_another(tmp_path_factory):
    """Returns what another package reads; it cannot live in one process with TF."""
    files = {}
    for kind, x in INTEROP.items():
        directory = tmp_path_factory.mktemp(kind)
        convert({"n": np.arange(6), "x": x}, directory, name="d", index=True)
        files[kind] = str(directory / "d-train.tfrecord-00000-of-00001")
    command = [sys.executable, "-c", THEIRS, *files.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {
        (kind, shard): found[f"{file} {shard}"]
        for kind, file in files.items()
        for shard in (None, (0, 2), (1, 2))
    }


@pytest.mark.parametrize(
    ("shard", "part"),
    [(None, slice(0, 6)), ((0, 2), slice(0, 3)), ((1, 2), slice(3, 6))],
    ids=["whole", "first half by the index", "second half by the index"],
)
@pytest.mark.parametrize("kind", INTEROP)
def test_the_package_tfrecord_reads_the_files(by_another, kind, shard, part):
    expected = [[n, one.tobytes().hex()] for n, one in enumerate(INTEROP[kind])]
    assert by_another[kind, shard] == expected[part]


def framed(file):
    """Returns where records begin and how long they are, by the heads in the file."""
    content, found, at = file.read_bytes(), [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 8], "little") + 16
        found.append((at, length))
        at += length
    return found


@pytest.mark.parametrize(
    ("kind", "how", "there"),
    [
        ("fixed", {"index": True}, True),
        ("fixed", {}, False),
        ("variable", {}, True),
        ("variable", {"index": True}, True),
    ],
)
def test_the_index_tells_where_each_record_begins(tmp_path, kind, how, there):
    convert({"x": INTEROP[kind]}, tmp_path, name="d", shards=2, **how)
    for file in sorted(tmp_path.glob("d-train.tfrecord-*-of-00002")):
        index = pathlib.Path(f"{file}.idx")
        assert index.exists() == there
        if there:
            lines = index.read_text().splitlines()
            assert [tuple(map(int, line.split())) for line in lines] == framed(file)


def test_tensorflow_parses_the_records_by_the_spec(variable):
    fields = metadata.read(variable).fields
    files = sorted(map(str, variable.glob("*.tfrecord-*-of-00001")))
    records = list(tf.data.TFRecordDataset(files).as_numpy_iterator())
    parsed = tf.io.parse_example(records, parse.spec(fields))
    arrays = every_dtype()
    assert parsed["int32_0"].numpy().tolist() == arrays["int32_0"].tolist()
    assert parsed["text"].numpy().tolist() == [text.encode() for text in TEXTS[:4]]
    raw = [one.tobytes() for one in arrays["float64_2"]]
    assert parsed["float64_2"].numpy().tolist() == raw


def ragged():
    return tf.data.Dataset.from_tensors(tf.ragged.constant([[1], [2, 3]]))


def sparse():
    return tf.data.Dataset.from_tensors({"x": tf.sparse.eye(2)})


def of_unknown_rank():
    spec = tf.TensorSpec(None), tf.TensorSpec([])
    return tf.data.Dataset.from_generator(lambda: [(1.0, 2.0)], output_signature=spec)


def stream_of_hugging_face():
    return datasets.Dataset.from_dict({"n": [1]}).to_iterable_dataset()


def struct_of_hugging_face():
    return datasets.Dataset.from_dict({"a": [{"b": 1}]})


def classes_of_hugging_face(*names):
    features = datasets.Features({"label": datasets.ClassLabel(names=names)})
    rows = {"label": list(range(len(names)))}
    return datasets.Dataset.from_dict(rows, features=features)


def folders(*names):
    root = pathlib.Path(tempfile.mkdtemp())
    for name in names:
        (root / name).mkdir()
        picture(root / name / "0.png")
    return root


def fields_in_one_another():
    return datasets.Dataset.from_dict({"image": [1], "image/b": [2]})


ONE_LINE = "must be of classes whose names are one line of text each, and differ.*"
PARTS = {"train": (X, X), "test": (X * 1.0, X)}
REFUSED = [
    (lambda: object(), {}, "must be arrays .*, a tf.data.Dataset, a folder of"),
    (lambda: 3.5, {}, "must be arrays .*, a tf.data.Dataset, a folder of"),
    (lambda: __file__, {}, "must be arrays .*, a tf.data.Dataset, a folder of"),
    (lambda: "text", {}, "must be there, or arrays"),
    (lambda: [], {}, "must be of at least one row"),
    (lambda: iter([]), {}, "must be of at least one row"),
    (lambda: [{}], {}, "must be"),
    (lambda: ["a", "b"], {}, "must be an iterable of dicts"),
    (lambda: [{"x": [[1], [2, 3]]}], {}, "must be"),
    (lambda: [{"x": None}], {}, "must be values of strings, or of arrays"),
    (lambda: [{"x": object()}], {}, "must be values of strings, or of arrays"),
    (ragged, {}, "must be a dataset of dense tensors of known rank"),
    (sparse, {}, "must be a dataset of dense tensors of known rank"),
    (of_unknown_rank, {}, "must be a dataset of dense tensors of known rank"),
    (lambda: tf.data.Dataset.range(3).window(2), {}, "must be a dataset of dense"),
    (lambda: tf.data.Dataset.range(3).repeat(), {}, "must be a dataset that has an end"),
    (lambda: tf.data.Dataset.range(0), {}, "must be "),
    (lambda: PARTS, {}, "must be of the same fields in test as in train"),
    (lambda: {"train": (X, X)}, {"split": "test"}, "`split` .* one of .'train'."),
    (lambda: {"x": X}, {"image_format": "tiff"}, "`image_format` .* must be one of"),
    (lambda: {"x": X}, {"on_error": "ignore"}, "`on_error` .* must be one of"),
    (lambda: {"x": X}, {"workers": 0}, "`workers` .* must be an integer of at least 1"),
    (lambda: iter([{"x": 1}]), {"shards": 1}, "`shards` .* rows whose number is not"),
    (lambda: [{"x": 1}], {"shards": 2}, "`shards` .* at most the number of records, 1"),
    (stream_of_hugging_face, {"shards": 2}, "`shards` .* rows whose number is not"),
    (lambda: classes_of_hugging_face("a", "", "b"), {}, ONE_LINE + "''"),
    (lambda: classes_of_hugging_face("a", " "), {}, ONE_LINE + "' '"),
    (lambda: classes_of_hugging_face("a", "a "), {}, ONE_LINE),
    (lambda: folders("a", "b\nc"), {}, ONE_LINE + r"b\\nc"),
    (lambda: folders("a", "caf\udce9"), {}, ONE_LINE + r"caf\\udce9"),
    (fields_in_one_another, {}, "of which none is in another.*image/b"),
    (struct_of_hugging_face, {}, "must be of numbers, strings, classes, images"),
]


@pytest.mark.parametrize(("make", "how", "why"), REFUSED)
def test_what_cannot_be_converted_is_refused_in_one_sentence(tmp_path, make, how, why):
    with pytest.raises(ValueError, match=why) as caught:
        convert(make(), tmp_path / "out", **how)
    assert re.fullmatch(r"`\w+` of \w+ must be .*Received: .*", str(caught.value), re.S)


def test_a_dataset_of_hugging_face_without_a_length_is_an_iterable_of_dicts(tmp_path):
    source = datasets.Dataset.from_dict({"n": [3, 1, 2]}).to_iterable_dataset()
    convert(source, tmp_path)
    assert [int(row["n"]) for row in loaded(tmp_path)] == [3, 1, 2]


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (tfds.features.Sequence({"a": np.int64, "b": np.int64}), {"a": [1], "b": [2]}),
        (tfds.features.Sequence(tfds.features.Sequence(np.int64)), [[1], [2, 3]]),
        (tfds.features.Sequence(tfds.features.Image(shape=(2, 2, 3))), None),
    ],
    ids=["sequence of dicts", "sequence of sequences", "sequence of images"],
)
def test_features_of_tfds_that_are_not_dense_are_refused(tmp_path, feature, value):
    value = [np.zeros((2, 2, 3), "uint8")] if value is None else value
    source = stored_by_tfds(tmp_path, {"odd": feature}, [{"odd": value}])
    with pytest.raises(ValueError, match="must be of features that are known.*odd"):
        convert(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a readable CSV"),
        ("a,b\n", "a CSV with lines"),
        ("a,b\n1,2\n3\n", "a readable CSV"),
        ("n,x\n1,2\n,3\n", "a CSV without gaps, but column n has 1"),
        ("a,b,a\n1,2,3\n", r"columns have names that differ, not twice \['a'\]"),
        ("t,n\nä,1\n", r"a readable CSV \(.*UTF8"),
        ("ä,n\na,1\n", r"a readable CSV \(.*utf-8"),
        ("x,label\n1,a\n2,\n3, \n", "each line has a class, but line 3 has none"),
    ],
    ids=[
        "empty",
        "only a head",
        "lines of two lengths",
        "gap",
        "twice",
        "a value in Latin-1",
        "a name in Latin-1",
        "no class",
    ],
)
def test_a_csv_that_is_no_table_is_refused(tmp_path, text, why):
    (tmp_path / "data.csv").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=why):
        convert(tmp_path / "data.csv", tmp_path / "out")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "in" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match="a folder of folders with images in them"):
        convert(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    "source",
    [
        [{"x": None}],
        tf.data.Dataset.range(0),
        tf.data.Dataset.range(9).filter(lambda number: number > 9),
        tf.data.Dataset.from_tensor_slices([""]).take(0),
    ],
    ids=["no value", "no row", "no row that passes", "no string"],
)
def test_what_is_refused_leaves_no_file_behind(tmp_path, source):
    with pytest.raises(ValueError, match="must be"):
        convert(source, tmp_path / "out")
    assert not list(tmp_path.rglob("*.tfrecord-*"))


VALUES = {  # Of a column of a CSV: its lines, and what they are to be.
    "integers": ("1 -2 3", np.array([1, -2, 3])),
    "floats": ("1.5 2 -3e9", np.array([1.5, 2, -3e9])),
    "truths": ("true false true", np.array([True, False, True])),
    "wide": ("18446744073709551615 1 2", np.array([2**64 - 1, 1, 2], "uint64")),
    "wider": ("18446744073709551616 1 2", [b"18446744073709551616", b"1", b"2"]),
    "zeros": ("0012 7 8", [b"0012", b"7", b"8"]),
    "zeros and a point": ("00.5 0.5 1", [b"00.5", b"0.5", b"1"]),
    "nought": ("0 1 0", np.array([0, 1, 0])),
    "texts": ("ä ß é", ["ä".encode(), "ß".encode(), "é".encode()]),
    "times": ("12:30 1:05 23:59", [b"12:30", b"1:05", b"23:59"]),
    "dates": ("2020-01-01T00:00:00Z " * 3, [b"2020-01-01T00:00:00Z"] * 3),
    "nothing": ("NA NA NA", [b"NA"] * 3),
}


@pytest.mark.parametrize(("lines", "expected"), VALUES.values(), ids=VALUES)
def test_a_csv_gives_every_value_as_it_stands(tmp_path, lines, expected):
    lines = [f"{value},{n}" for n, value in enumerate(lines.split())]
    (tmp_path / "data.csv").write_text("\n".join(["v,n", *lines]), encoding="utf-8")
    convert(tmp_path / "data.csv", tmp_path / "out")
    values = [row["v"] for row in loaded(tmp_path / "out")]
    if isinstance(expected, list):
        assert values == expected
    else:
        assert bare(np.array(values)) == bare(expected)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda whole: b"", "must be a .npz file, but this is none"),
        (lambda whole: b"junk" * 99, "must be a .npz file, but this is none"),
        (lambda whole: whole[:-30], "must be a .npz file that can be read"),
        (lambda whole: whole[:300] + bytes(50) + whole[350:], "must .* read .*CRC"),
    ],
    ids=["empty", "junk", "cut", "damaged"],
)
@pytest.mark.parametrize("name", ["x", "x_train"])
def test_a_damaged_npz_is_refused_by_its_name(tmp_path, content, why, name):
    path = tmp_path / "data.npz"
    np.savez(path, **{name: np.arange(999)})
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(ValueError, match=f"`source` of convert {why}.*data.npz"):
        convert(path, tmp_path / "out")


def test_a_frame_of_pandas_is_the_dict_of_its_columns(tmp_path):
    frame = pandas.DataFrame({"n": [1, 2, 3], "t": ["a", "bä", ""], "x": [0.5, 1, 2]})
    convert(frame, tmp_path / "one")
    convert({"train": frame, "test": frame[1:]}, tmp_path / "two")
    rows = loaded(tmp_path / "one")
    assert [(int(r["n"]), r["t"].decode(), float(r["x"])) for r in rows] == [
        (1, "a", 0.5),
        (2, "bä", 1.0),
        (3, "", 2.0),
    ]
    assert [int(row["n"]) for row in loaded(tmp_path / "two", "test")] == [2, 3]


def test_splits_whose_classes_alone_differ_are_told_by_their_names(tmp_path):
    convert(classes_of_hugging_face("cat", "dog"), tmp_path)
    why = r"the fields the directory has: \['label, with dog'\].*with emu"
    with pytest.raises(ValueError, match=why):
        convert(classes_of_hugging_face("cat", "emu"), tmp_path, split="test")
    parts = {
        "train": classes_of_hugging_face("a", "b"),
        "test": classes_of_hugging_face("b", "a"),
    }
    why = r"same fields in test as in train: \['label, with a, b'\].*with b, a"
    with pytest.raises(ValueError, match=why):
        convert(parts, tmp_path / "parts")


def test_a_class_of_tfds_has_the_number_that_it_has_here(tmp_path):
    convert(classes_of_hugging_face("b", "a b", "a"), tmp_path)
    label = tfds.builder_from_directory(tmp_path).info.features["label"]
    assert label.names == ["b", "a b", "a"]


@pytest.mark.parametrize("shards", [None, 2])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_stream_broken_off_before_its_first_file_is_whole_is_not_called_sound(
    tmp_path, shards, overwrite
):
    def rows():
        for number in range(1500):  # More than those that tell the fields.
            yield {"n": np.arange(number % 9)}
        raise KeyboardInterrupt

    if overwrite:
        convert([{"n": np.arange(3)}], tmp_path)
    source = rows()
    if shards:
        source = tf.data.Dataset.range(9).map(lambda n: {"n": n})
        source = source.map(lambda row: {"n": tf.py_function(stop, [row["n"]], "int64")})
        source = source.apply(tf.data.experimental.assert_cardinality(9))
        source = source.map(lambda row: {"n": tf.ensure_shape(row["n"], ())})
    with pytest.raises((KeyboardInterrupt, tf.errors.OpError)):
        convert(source, tmp_path, shards=shards, overwrite=overwrite)
    (damage,) = tfrecord.verify(tmp_path).damages
    many = ", 0 of 2 files written" if shards else ""
    assert str(damage) == f"train split: is not finished{many}: convert it again"
    assert tfrecord.inspect(tmp_path).begun == (f"train: not finished{many}",)
    with pytest.raises(ValueError, match="not finished.*convert again"):
        tfrecord.load(tmp_path)
    with pytest.raises(ValueError, match="conversion is complete"):
        tfrecord.repair(tmp_path)


def stop(number):
    if int(number) == 5:
        raise KeyError("stop")
    return number

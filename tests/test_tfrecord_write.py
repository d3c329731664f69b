"""What `convert` writes, read back by every means but the reader of this package."""

import pathlib
import struct
import tempfile

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from on_disk import contents

from keras_sched import tfrecord

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES = [*INTEGERS, "float16", "float32", "float64", "bool"]
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/"),
    min_size=1,
    max_size=6,
)


@st.composite
def sources(draw):
    count, source = draw(st.integers(1, 40)), {}
    for name in draw(st.sets(NAMES, min_size=1, max_size=4)):
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
        dtype = draw(st.sampled_from(DTYPES))
        source[name] = draw(hnp.arrays(dtype, (count, *shape)))
    return source


def payloads(path):
    """Returns the payloads of a TFRecord file, whose checksums must all be right."""
    content, found, at = path.read_bytes(), [], 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        for start, size in (at, 8), (at + 12, length):
            (stored,) = struct.unpack_from("<I", content, start + size)
            rotated = (stored - 0xA282EAD8) % 2**32
            crc = (rotated >> 17 | rotated << 15) % 2**32
            assert crc == google_crc32c.value(content[start : start + size])
        found.append(content[at + 12 : at + 12 + length])
        at += 16 + length
    return found


def examples(directory, split="train"):
    files = sorted(directory.glob(f"*-{split}.tfrecord-*"))
    found = [payload for file in files for payload in payloads(file)]
    return [tf.train.Example.FromString(payload).features.feature for payload in found]


def stacked(features, name, like):
    """Returns one field of the examples as an array such as `like`."""
    values = []
    for feature in (one[name] for one in features):
        if feature.WhichOneof("kind") == "int64_list":
            (value,) = feature.int64_list.value
            values.append(np.array(value, like.dtype).tobytes())
        else:
            values.extend(feature.bytes_list.value)
    return np.frombuffer(b"".join(values), like.dtype).reshape(like.shape)


def assert_identical(got, expected):
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert got.tobytes() == expected.tobytes()


def noise(dtype, shape):
    """Returns bits at random: among floats also infinities, NaN and subnormals."""
    if dtype == "bool":
        return np.arange(np.prod(shape)).reshape(shape) % 3 == 1
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(np.random.default_rng(1).bytes(size), dtype).reshape(shape)


@settings(max_examples=40, deadline=None)
@given(sources(), st.integers(1, 5))
def test_every_bit_stands_in_a_legal_example(source, shards):
    count = len(next(iter(source.values())))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        tfrecord.convert(source, folder, shards=min(shards, count))
        features = examples(folder)
    assert [set(one) for one in features] == [set(source)] * count
    for name, array in source.items():
        assert_identical(stacked(features, name, array), array)


@settings(max_examples=25, deadline=None)
@given(sources(), st.integers(1, 5), st.none() | st.integers(1, 41))
@example({"empty": np.zeros((3, 0)), "full": np.arange(3)}, 2, None)
@example({"empty": np.zeros((3, 2, 0)), "full": np.arange(3)}, 2, 2)
def test_every_bit_comes_back_from_load(source, shards, batch_size):
    count = len(next(iter(source.values())))
    with tempfile.TemporaryDirectory() as folder:
        tfrecord.convert(source, folder, shards=min(shards, count))
        data = tfrecord.load(folder, batch_size=batch_size)
        batches = list(data.as_numpy_iterator())
    for name, array in source.items():
        join = np.concatenate if batch_size else np.stack
        got = join([batch[name] for batch in batches])
        assert_identical(got, array)


def test_integer_scalars_are_numbers_to_any_reader_and_the_rest_is_raw(tmp_path):
    source = {dtype: np.ones(2, dtype) for dtype in DTYPES}
    tfrecord.convert(source | {"vector": np.ones((2, 3), "int8")}, tmp_path)
    (one, _) = examples(tmp_path)
    kinds = {name: feature.WhichOneof("kind") for name, feature in one.items()}
    raw = {"uint64", "float16", "float32", "float64", "bool", "vector"}
    assert {name for name in kinds if kinds[name] == "bytes_list"} == raw
    assert {name for name in kinds if kinds[name] == "int64_list"} == set(kinds) - raw


@pytest.mark.parametrize("dtype", INTEGERS)
def test_the_ends_of_an_integer_come_back(tmp_path, dtype):
    ends = np.iinfo(dtype)
    array = np.array([ends.min, ends.min + 1, 0, ends.max - 1, ends.max], dtype)
    tfrecord.convert({"x": array}, tmp_path)
    assert stacked(examples(tmp_path), "x", array).tolist() == array.tolist()


def test_fields_and_names_of_any_length_are_framed_right(tmp_path):
    sizes = [*range(90, 130), *range(16_340, 16_386)]
    source = {str(size): noise("uint8", (1, size)) for size in sizes}
    source |= {"n" * size: noise("int64", (1, 1)) for size in range(100, 130)}
    tfrecord.convert(source, tmp_path)
    features = examples(tmp_path)
    for name, array in source.items():
        assert_identical(stacked(features, name, array), array)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.arange(12, dtype="int16")[::-4],
        np.broadcast_to(np.float32(7), (3, 2)),
        [[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]],
        tf.constant([1, 2, 3], tf.uint8),
    ],
    ids=["fortran", "strided", "broadcast", "list", "tensor"],
)
def test_whatever_numpy_takes_is_written_in_its_own_order(tmp_path, array):
    tfrecord.convert({"x": array}, tmp_path)
    expected = np.array(array, order="C")
    assert_identical(stacked(examples(tmp_path), "x", expected), expected)


def test_shards_hold_all_records_in_order_and_none_is_larger_by_two(tmp_path):
    tfrecord.convert({"x": np.arange(17)}, tmp_path, name="d", split="test", shards=5)
    files = [tmp_path / f"d-test.tfrecord-0000{i}-of-00005" for i in range(5)]
    assert sorted(len(payloads(file)) for file in files) == [3, 3, 3, 4, 4]
    expected = np.arange(17)
    assert_identical(stacked(examples(tmp_path, "test"), "x", expected), expected)


def test_130_mib_are_two_files_unless_told_otherwise(tmp_path):
    images = np.zeros((130, 2**20), "uint8")
    images[:, 0] = range(130)
    split = tfrecord.convert({"image": images}, tmp_path)
    files = sorted(tmp_path.glob("*.tfrecord-*"))
    crcs = [google_crc32c.value(file.read_bytes()) for file in files]
    numbers = [payload[-(2**20)] for file in files for payload in payloads(file)]
    for file in files:
        file.unlink()
    assert len(files) == 2
    assert crcs == [shard.crc32c for shard in split.shards]
    assert numbers == list(range(130))


def test_the_split_that_is_returned_describes_the_files(tmp_path):
    source = noise("float32", (1234, 3)), np.arange(1234)
    split = tfrecord.convert(source, tmp_path, split="validation", shards=2)
    for shard in split.shards:
        content = (tmp_path / shard.file).read_bytes()
        assert shard.bytes == len(content)
        assert shard.records == len(payloads(tmp_path / shard.file))
        assert shard.crc32c == google_crc32c.value(content)
    total = sum(file.stat().st_size for file in tmp_path.glob("*.tfrecord-*"))
    assert str(split) == f"validation: 1,234 records, {total:,} bytes in 2 files"


def test_bytes_depend_on_the_data_alone(tmp_path):
    source = {"b": np.arange(5), "a": noise("float16", (5, 2))}
    for folder, given_in in ("one", source), ("two", dict(sorted(source.items()))):
        tfrecord.convert(given_in, tmp_path / folder, name="d", shards=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.fixture(scope="module")
def cats(tmp_path_factory):
    """Returns a `data_dir` of TFDS: ten cats in three files, and four to test."""
    data_dir = tmp_path_factory.mktemp("data")
    for split, count, shards in ("train", 10, 3), ("test", 4, 1):
        source = noise("uint8", (count, 2, 3, 1)), np.arange(count, dtype="int32")
        directory = data_dir / "cats" / "1.0.0"
        tfrecord.convert(source, directory, name="cats", split=split, shards=shards)
    return data_dir


def test_tfds_opens_the_directory_and_knows_all_of_it(cats):
    info = tfds.builder_from_directory(cats / "cats" / "1.0.0").info
    assert (info.name, str(info.version)) == ("cats", "1.0.0")
    assert info.supervised_keys == ("image", "label")
    assert info.features["image"].shape == (2, 3, 1)
    assert sorted(info.splits["train"].shard_lengths) == [3, 3, 4]
    counts = {name: info.splits[name].num_examples for name in info.splits}
    assert counts == {"train": 10, "test": 4}
    files = (cats / "cats" / "1.0.0").glob("cats-train.*")
    held = sum(len(payload) for file in files for payload in payloads(file))
    assert info.splits["train"].num_bytes == held


@pytest.mark.parametrize(
    ("split", "part"),
    [
        ("train", slice(0, 10)),
        ("train[2:5]", slice(2, 5)),
        ("train[50%:]", slice(5, 10)),
        ("test", slice(0, 4)),
    ],
)
def test_tfds_finds_it_by_name_and_cuts_splits(cats, split, part):
    data = tfds.load("cats", data_dir=cats, split=split, as_supervised=True)
    images, labels = zip(*data.as_numpy_iterator())
    count = 4 if split == "test" else 10
    assert len(data) == len(labels)
    assert list(labels) == list(range(count))[part]
    assert_identical(np.stack(images), noise("uint8", (count, 2, 3, 1))[part])


def test_tfds_reads_what_has_no_pair_as_a_dict(tmp_path):
    tfrecord.convert({"height": np.arange(3), "weight": np.arange(3.0)}, tmp_path)
    builder = tfds.builder_from_directory(tmp_path)
    rows = list(builder.as_dataset(split="train").as_numpy_iterator())
    assert rows == [{"height": n, "weight": float(n)} for n in range(3)]
    with pytest.raises(ValueError, match="as_supervised"):
        builder.as_dataset(split="train", as_supervised=True)


def every_dtype_and_rank():
    return {
        f"{dtype}_{rank}": noise(dtype, (5, 2, 1, 3)[: rank + 1])
        for dtype in DTYPES
        for rank in range(4)
    }


def test_tfds_reads_every_dtype_and_rank_bit_by_bit(tmp_path):
    source = every_dtype_and_rank()
    for rank in 1, 2, 3:
        del source[f"uint32_{rank}"]  # TFDS 4.9.10 decodes no such bytes.
    tfrecord.convert(source, tmp_path, shards=2)
    data = tfds.builder_from_directory(tmp_path).as_dataset(split="train")
    rows = list(data.as_numpy_iterator())
    for name, array in source.items():
        assert_identical(np.stack([row[name] for row in rows]), array)


def test_load_reads_every_dtype_and_rank_bit_by_bit(tmp_path):
    source = every_dtype_and_rank()
    tfrecord.convert(source, tmp_path, shards=2)
    (batch,) = tfrecord.load(tmp_path, batch_size=5).as_numpy_iterator()
    for name, array in source.items():
        assert_identical(batch[name], array)


def test_tensorflow_takes_the_files_for_its_own(cats):
    files = sorted((cats / "cats" / "1.0.0").glob("cats-train.*"))
    raw = list(tf.data.TFRecordDataset([str(f) for f in files]).as_numpy_iterator())
    assert raw == [payload for file in files for payload in payloads(file)]
    kinds = {"image": tf.string, "label": tf.int64}
    spec = {name: tf.io.FixedLenFeature([], kind) for name, kind in kinds.items()}
    parsed = tf.io.parse_example(raw, spec)
    assert parsed["label"].numpy().tolist() == list(range(10))
    images = tf.io.decode_raw(parsed["image"], tf.uint8).numpy()
    assert_identical(images.reshape(10, 2, 3, 1), noise("uint8", (10, 2, 3, 1)))

"""What `inspect` says of records, ours and those of others."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_sched import tfrecord


def test_splits_fields_and_classes_are_told(tmp_path):
    x, chance = np.zeros((30, 4, 4, 1), "uint8"), np.random.default_rng(0)
    labels = {"train": chance.integers(0, 3, 30), "test": np.full(30, 7)}
    for split, y in labels.items():
        pair = x, y.astype("int16")
        written = tfrecord.convert(pair, tmp_path, split=split, shards=3, name="d")
    found = tfrecord.inspect(tmp_path)
    assert (found.name, found.stride) == ("d", written.bytes // 30)
    assert [(s.name, s.records, len(s.shards)) for s in found.splits] == [
        ("train", 30, 3),
        ("test", 30, 3),
    ]
    assert [str(c) for c in found.columns] == [
        "image: uint8 (4, 4, 1)",
        "label: int16 ()",
    ]
    counts = np.bincount(labels["train"])
    assert found.labels == {"train": dict(enumerate(counts.tolist())), "test": {7: 30}}
    assert tfrecord.inspect(tmp_path, count_labels=False).labels == {}


@pytest.mark.parametrize(
    "source",
    [
        {"x": np.arange(5)},
        {"label": np.arange(5.0)},
        {"label": np.ones((5, 2), "int64")},
        {"label": np.arange(101)},
    ],
)
def test_what_is_no_class_is_not_counted(tmp_path, source):
    tfrecord.convert(source, tmp_path)
    assert tfrecord.inspect(tmp_path).labels == {}


def test_files_not_as_long_as_they_were_are_told_of_without_their_classes(tmp_path):
    split = tfrecord.convert({"label": np.arange(5)}, tmp_path)
    path = tmp_path / split.shards[0].file
    path.write_bytes(path.read_bytes()[:-1])
    found = tfrecord.inspect(tmp_path)
    assert (found.splits[0].records, found.labels) == (5, {})
    assert str(found).splitlines()[-1].startswith(f"{path.name}: not as it was written")


@pytest.mark.parametrize("x", [np.zeros((5, 2)), [np.zeros(n) for n in range(5)]])
@pytest.mark.parametrize("place", [0, -15, -6])
def test_a_flipped_bit_is_told_of_and_no_class_is_made_of_it(tmp_path, x, place):
    source = {"label": np.array([0, 1, 1, 2, 1]), "x": x}
    split = tfrecord.convert(source, tmp_path, name="d", progress=False)
    path, content = tmp_path / split.shards[0].file, None
    content = bytearray(path.read_bytes())
    content[place] ^= 64
    path.write_bytes(content)
    for index in tmp_path.glob("*.idx"):
        index.unlink()
    found = tfrecord.inspect(tmp_path)
    assert (found.splits[0].records, found.labels) == (5, {})
    (told,) = found.damages
    assert told.startswith(f"{path.name}: not as it was written")
    assert told in str(found)


def test_the_names_of_classes_are_told_where_they_are_few(tmp_path):
    for count, many in (
        (1, "1 class: c0"),
        (3, "3 classes: c0, c1, c2"),
        (11, "11 classes"),
    ):
        folder = tmp_path / str(count)
        (folder / "in").mkdir(parents=True)
        lines = "".join(f"c{n}\n" for n in range(count))
        (folder / "in" / "a.csv").write_text("label\n" + lines)
        tfrecord.convert(folder / "in" / "a.csv", folder / "out", progress=False)
        assert tfrecord.inspect(folder / "out").columns[0].note == many


def example(**features):
    kinds = {
        bytes: lambda v: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)),
        int: lambda v: tf.train.Feature(int64_list=tf.train.Int64List(value=v)),
        float: lambda v: tf.train.Feature(float_list=tf.train.FloatList(value=v)),
    }
    feature = {name: kinds[type(v[0])](v) for name, v in features.items()}
    features = tf.train.Features(feature=feature)
    return tf.train.Example(features=features).SerializeToString()


def write(path, *payloads):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in payloads:
            writer.write(payload)


def test_the_fields_of_others_are_seen_in_their_records(tmp_path):
    pixels = np.zeros((3, 3, 3), "uint8")
    jpeg, png = (f(pixels).numpy() for f in (tf.io.encode_jpeg, tf.io.encode_png))
    rows = [
        example(image=[jpeg], boxes=[0.5] * 8, label=[3], words=[b"a", b"b"]),
        example(image=[png], boxes=[0.5] * 4, label=[1], words=[b"c"]),
    ]
    for number in range(2):
        write(tmp_path / f"cats-test.tfrecord-0000{number}-of-00002", rows[number])
    found = tfrecord.inspect(tmp_path)
    assert (found.name, found.stride, found.labels) == ("cats", None, {})
    assert [(s.name, s.records, len(s.shards)) for s in found.splits] == [("test", 2, 2)]
    low, high = sorted(len(each) for each in (jpeg, png))
    assert [str(column) for column in found.columns] == [
        "boxes: float32 4 to 8 values",
        f"image: bytes {low} to {high} bytes JPEG and PNG",
        "label: int64 1 value",
        "words: bytes 1 to 2 bytes",
    ]


def test_records_that_are_no_examples_are_told_of(tmp_path):
    write(tmp_path / "some.tfrecords", b"\xff" * 9, b"\xff" * 9)
    found = tfrecord.inspect(tmp_path)
    assert (found.name, found.stride) == (None, 25)
    assert [(s.name, s.records) for s in found.splits] == [("some", 2)]
    assert str(found.columns[0]) == ": no tf.train.Example 9 values"


def test_a_directory_of_tfds_is_read_as_one(tmp_path):
    write(tmp_path / "cats-test.tfrecord-00000-of-00001", example(x=[1]))
    info = {"name": "cats", "splits": [{"name": "test", "shardLengths": ["1", "4"]}]}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (split,) = tfrecord.inspect(tmp_path).splits
    assert (split.name, split.records) == ("test", 1)


def test_what_is_no_folder_of_records_is_refused(tmp_path):
    for folder in tmp_path, tmp_path / "none":
        with pytest.raises(ValueError, match="`directory` of inspect must be a folder"):
            tfrecord.inspect(folder)


def variable():
    shaped = [np.ones((n, 2, n)) for n in range(1, 4)]
    words = [["a", "b"], ["c"], []]
    return {"x": shaped, "n": np.arange(3), "w": words, "f": np.ones((3, 2), "f4")}


def parsed(found, directory):
    """Returns the records of a folder, parsed by what `spec` prints."""
    files = sorted(
        str(path) for path in directory.glob("*.tfrec*") if path.suffix != ".idx"
    )
    records = list(tf.data.TFRecordDataset(files).as_numpy_iterator())
    return tf.io.parse_example(records, eval(found.spec(), {"tf": tf}))


def test_the_spec_as_it_is_printed_parses_the_records(tmp_path):
    tfrecord.convert(variable(), tmp_path, name="d", progress=False)
    rows = parsed(tfrecord.inspect(tmp_path), tmp_path)
    assert rows["n"].numpy().tolist() == [0, 1, 2]
    assert rows["w"].numpy().tolist() == [[b"a", b"b"], [b"c", b""], [b"", b""]]
    assert rows["x/shape"].numpy().tolist() == [[1, 2, 1], [2, 2, 2], [3, 2, 3]]
    floats = tf.io.decode_raw(rows["f"], tf.float32)
    assert floats.numpy().tolist() == [[1, 1]] * 3


def test_the_spec_of_records_of_one_length_parses_them(tmp_path):
    pair = np.arange(12, dtype="uint8").reshape(3, 2, 2, 1), np.arange(3)
    tfrecord.convert(pair, tmp_path, name="d", progress=False)
    rows = parsed(tfrecord.inspect(tmp_path), tmp_path)
    assert rows["label"].numpy().tolist() == [0, 1, 2]
    assert rows["image"].numpy().tolist() == [bytes(x.ravel()) for x in pair[0]]


def test_the_spec_of_what_others_wrote_parses_it(tmp_path):
    rows = [
        example(a=[1], b=[0.5, 1.0], c=[b"x"], d=[7]),
        example(a=[2], b=[0.5, 2.0], c=[b"x", b"y"]),
    ]
    write(tmp_path / "some.tfrec", *rows)
    rows = parsed(tfrecord.inspect(tmp_path), tmp_path)
    assert rows["a"].numpy().tolist() == [1, 2]
    assert rows["b"].numpy().tolist() == [[0.5, 1], [0.5, 2]]
    assert rows["c"].numpy().tolist() == [[b"x", b""], [b"x", b"y"]]
    assert rows["d"].numpy().tolist() == [[7], [0]]
    write(tmp_path / "some.tfrec", example(a=[1]), example(b=[2.0]))
    rows = parsed(tfrecord.inspect(tmp_path), tmp_path)
    assert rows["a"].numpy().tolist() == [[1], [0]]


@pytest.mark.parametrize("name", ["a.tfrec", "train-00000-of-00002", "b.tfrecord"])
def test_files_are_found_by_the_names_that_others_give_them(tmp_path, name):
    write(tmp_path / name, example(n=[5]))
    split = name.partition("-")[0].partition(".")[0]
    assert [s.name for s in tfrecord.inspect(tmp_path).splits] == [split]
    tfrecord.inspect(tmp_path, adopt=True)
    (row,) = tfrecord.load(tmp_path, split)
    assert int(row["n"]) == 5


def test_files_of_another_kind_are_none_and_those_that_count_are_told(tmp_path):
    (tmp_path / "variables.data-00000-of-00001").write_bytes(bytes(99))
    with pytest.raises(ValueError, match=r"called \*\.tfrecord, \*\.tfrec, "):
        tfrecord.inspect(tmp_path)


@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_a_damaged_file_of_others_is_told_of(tmp_path, harm):
    for number in range(2):
        path = tmp_path / f"cats-test.tfrecord-0000{number}-of-00002"
        write(path, example(n=[1]), example(n=[2]))
    info = {"name": "cats", "splits": [{"name": "test", "shardLengths": ["2", "2"]}]}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    assert tfrecord.inspect(tmp_path).damages == ()
    content = bytearray(path.read_bytes())
    content[14] ^= 1
    path.write_bytes(content) if harm == "flip" else path.unlink()
    (told,) = tfrecord.inspect(tmp_path).damages
    assert told.startswith(f"{path.name}: ")

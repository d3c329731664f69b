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
        "label: int64 1 values",
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

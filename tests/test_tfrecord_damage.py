"""What `load` says of files that are not as `convert` wrote them."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_sched import tfrecord
from keras_sched.tfrecord import batches


def numbered(directory, count, shards=1):
    """Writes `count` records that hold nothing but their number."""
    tfrecord.convert({"x": np.arange(count)}, directory, name="d", shards=shards)


def first_file(directory):
    return directory / "d-train.tfrecord-00000-of-00001"


COUNT = 6


def damaged(directory, record, place):
    """Flips a bit in a record of the second of two files; returns what will name it."""
    source = {"first": np.arange(COUNT), "second": np.ones((COUNT, 2), "float32")}
    split = tfrecord.convert(source, directory, name="d", shards=2, overwrite=True)
    path = directory / "d-train.tfrecord-00001-of-00002"
    stride = split.shards[1].bytes // split.shards[1].records
    flip(path, record * stride + place(path.read_bytes()[:stride]))
    return re.escape(f"{path}, record {record}, byte {record * stride}: ")


def flip(path, at, bit=0):
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


FRAMING = "the framing is not what the fields call for"
PAYLOAD = "the payload does not match its checksum"
PLACES = {
    "the low byte of the length": (lambda record: 0, FRAMING),
    "the high byte of the length": (lambda record: 7, FRAMING),
    "the checksum of the length": (lambda record: 9, FRAMING),
    "the first byte of the payload": (lambda record: 12, FRAMING),
    "the name of a field": (lambda record: record.index(b"first"), FRAMING),
    "an integer": (lambda record: record.index(b"second") - 7, PAYLOAD),
    "a float": (lambda record: record.index(np.ones(2, "float32").tobytes()), PAYLOAD),
    "the checksum of the payload": (lambda record: len(record) - 2, PAYLOAD),
}


@pytest.mark.parametrize("record", [0, 2])
@pytest.mark.parametrize(("place", "what"), PLACES.values(), ids=PLACES)
def test_damage_is_named_by_file_record_and_byte(tmp_path, place, what, record):
    named = damaged(tmp_path, record, place)
    with pytest.raises(tf.errors.InvalidArgumentError, match=named + what):
        list(tfrecord.load(tmp_path))


@pytest.fixture
def batch_by_batch(monkeypatch):
    """Has each batch read by itself, so that damage takes no other with it."""
    monkeypatch.setattr(batches, "_CHUNK_BYTES", 1)


@pytest.mark.usefixtures("batch_by_batch")
def test_no_flipped_bit_of_a_record_goes_unseen(tmp_path):
    numbered(tmp_path, 8 * 39)
    path = first_file(tmp_path)
    assert path.stat().st_size == 8 * 39 * 39
    for record in range(8 * 39):
        flip(path, record * 39 + record % 39, bit=record // 39)
    batches = iter(tfrecord.load(tmp_path, batch_size=1))
    for record in range(8 * 39):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"record {record}, "):
            next(batches)


@pytest.mark.usefixtures("batch_by_batch")
def test_damage_stops_no_batch_before_it_and_stays_damage(tmp_path):
    named = damaged(tmp_path, 1, lambda record: 12)
    for how in {"shuffle": False}, {"shuffle": True, "seed": 0, "batch_size": 1}:
        data = tfrecord.load(tmp_path, **{"batch_size": 2} | how)
        for _ in range(2):
            with pytest.raises(tf.errors.InvalidArgumentError, match=named):
                list(data)
    batches = iter(tfrecord.load(tmp_path, batch_size=2))
    sound = [next(batches)["first"].numpy().tolist() for _ in range(2)]
    assert sound == [[0, 1], [2, 3]]


def test_a_length_past_the_end_is_damage_though_its_checksum_is_right(tmp_path):
    numbered(tmp_path, 3)
    tfrecord.convert({"x": np.ones((1, 1000))}, tmp_path / "long", name="d")
    longer = first_file(tmp_path / "long").read_bytes()[:12]
    first_file(tmp_path).write_bytes(longer + first_file(tmp_path).read_bytes()[12:])
    with pytest.raises(tf.errors.InvalidArgumentError, match="record 0, byte 0: "):
        list(tfrecord.load(tmp_path))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def cut_whole_records(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "harm", [cut, cut_whole_records, lengthen, empty, pathlib.Path.unlink]
)
def test_a_file_of_another_length_is_refused_at_once(tmp_path, harm):
    numbered(tmp_path, 4, shards=2)
    path = tmp_path / "d-train.tfrecord-00001-of-00002"
    size = path.stat().st_size
    harm(path)
    sentence = f"must be whole: {path} must be there and {size} bytes long"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        tfrecord.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keras_sched": {"name": 1}}'])
def test_metadata_that_convert_did_not_write_are_refused(tmp_path, text):
    (tmp_path / "metadata.json").write_text(text)
    for use in tfrecord.load, lambda folder: tfrecord.convert({"x": [1]}, folder):
        with pytest.raises(ValueError, match=r"metadata\.json is not what convert"):
            use(tmp_path)


def test_metadata_of_a_later_release_are_refused(tmp_path):
    numbered(tmp_path, 3)
    path = tmp_path / "metadata.json"
    content = json.loads(path.read_text())
    content["keras_sched"]["version"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="the one this release of keras_sched knows"):
        tfrecord.load(tmp_path)


def test_files_of_both_kinds_harmed_at_random_give_nothing_that_was_not_written():
    script = pathlib.Path(__file__).parent.parent / "benchmarks" / "fuzz_records.py"
    command = [sys.executable, str(script), "--seconds", "6", "--seed", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 2

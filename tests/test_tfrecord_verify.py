"""What `verify` says of damaged files, and what `repair` saves of them."""

import contextlib
import gzip
import itertools
import json
import os
import pathlib
import re
import shutil
import tempfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sched import _atomic, tfrecord
from keras_sched.tfrecord import records

FILES = [f"d-train.tfrecord-0000{n}-of-00002" for n in range(2)]
STRIDE = 58  # Of the records that `write` writes.


def write(directory, count=8):
    source = {"x": np.arange(count), "y": np.arange(count) / 3}
    return tfrecord.convert(source, directory, name="d", shards=2)


def flip(content, at):
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def put(content, at, other):
    return content[:at] + other + content[at + len(other) :]


LENGTH = "the length does not match its checksum"
PAYLOAD = "the payload does not match its checksum"
FIELDS = "the framing is not what the fields call for"
TWO = 2 * STRIDE
DAMAGES = {  # Four records a file: what is done to it, and what is said.
    "a bit of a length": (lambda c: flip(c, TWO), [(2, TWO, LENGTH)]),
    "a high bit of a length": (lambda c: flip(c, TWO + 7), [(2, TWO, LENGTH)]),
    "its checksum": (lambda c: flip(c, TWO + 9), [(2, TWO, LENGTH)]),
    "a bit of a payload": (lambda c: flip(c, TWO + 40), [(2, TWO, PAYLOAD)]),
    "the last byte": (lambda c: flip(c, 4 * STRIDE - 1), [(3, 3 * STRIDE, PAYLOAD)]),
    "two records": (
        lambda c: flip(flip(c, 3), TWO + 20),
        [(0, 0, LENGTH), (2, TWO, PAYLOAD)],
    ),
    "a length past the end": (
        lambda c: put(c, TWO, records.header(10**6)),
        [(2, TWO, f"a record of 1000016 bytes, of which {TWO} are there")],
    ),
    "a length past all files": (
        lambda c: put(c, TWO, records.header(2**64 - 1)),
        [(2, TWO, f"a record of {2**64 + 15} bytes, of which {TWO} are there")],
    ),
    "a cut in a header": (
        lambda c: c[: 3 * STRIDE + 5],
        [(3, 3 * STRIDE, "a header cut off after 5 of its 12 bytes")],
    ),
    "a cut in a payload": (
        lambda c: c[: 4 * STRIDE - 7],
        [(3, 3 * STRIDE, f"a record of {STRIDE} bytes, of which {STRIDE - 7} are there")],
    ),
    "a cut between records": (
        lambda c: c[: 3 * STRIDE],
        [(None, None, "has 3 records, not 4")],
    ),
    "nothing left": (lambda c: b"", [(None, None, "has 0 records, not 4")]),
    "more records": (lambda c: c + c[:STRIDE], [(None, None, "has 5 records, not 4")]),
    "zeros at the end": (
        lambda c: c + bytes(999),
        [(4, 4 * STRIDE, "999 bytes of zeros up to the end of the file")],
    ),
    "zeros for the last two": (
        lambda c: c[:TWO] + bytes(TWO),
        [
            (2, TWO, f"{TWO} bytes of zeros up to the end of the file"),
            (None, None, "has 3 records, not 4"),
        ],
    ),
    "gzip": (
        gzip.compress,
        [(0, 0, "is compressed by gzip: records are read as they are, so unpack it")],
    ),
    "text": (
        lambda c: b"<html>\n<body>404 Not Found</body>\n</html>" * 9,
        [(0, 0, "is text, no TFRecord file")],
    ),
    "records in another order": (
        lambda c: c[STRIDE:] + c[:STRIDE],
        [(None, None, "is sound, but holds other records than were written")],
    ),
    "a record of another dataset": (
        lambda c: put(c, STRIDE, framed(bytes(STRIDE - 16))),
        [(1, STRIDE, FIELDS)],
    ),
    "a shorter record of another": (
        lambda c: c[:STRIDE] + framed(b"some") + c[TWO:],
        [(1, STRIDE, FIELDS)],
    ),
}


def framed(payload):
    """Returns a payload as TensorFlow frames it."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "one"
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(payload)
        return path.read_bytes()


def test_the_stride_is_that_of_the_records(tmp_path):
    assert write(tmp_path).bytes == 8 * STRIDE
    assert tfrecord.verify(tmp_path) == tfrecord.Verification(
        str(tmp_path), 2, 8, 8 * STRIDE, ()
    )


@pytest.mark.parametrize(("harm", "said"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_by_file_record_and_byte(tmp_path, harm, said):
    write(tmp_path)
    path = tmp_path / FILES[1]
    path.write_bytes(harm(path.read_bytes()))
    found = tfrecord.verify(tmp_path)
    assert [(d.file, d.record, d.offset, d.what) for d in found.damages] == [
        (FILES[1], *one) for one in said
    ]
    assert not found.sound
    assert found.bytes == 4 * STRIDE + path.stat().st_size


def test_files_missing_and_files_that_have_changed_names_are_told(tmp_path):
    write(tmp_path)
    first, second = (tmp_path / name for name in FILES)
    first.rename(tmp_path / "kept")
    (damage,) = tfrecord.verify(tmp_path).damages
    assert str(damage) == f"{FILES[0]}: is missing"
    second.rename(first)
    (tmp_path / "kept").rename(second)
    assert [str(damage) for damage in tfrecord.verify(tmp_path).damages] == [
        f"{FILES[0]}: holds what was written as {FILES[1]}",
        f"{FILES[1]}: holds what was written as {FILES[0]}",
    ]
    assert not tfrecord.repair(tmp_path, dry_run=False).mended[0].kept < 4
    assert tfrecord.verify(tmp_path).sound


def test_files_of_tfds_that_say_otherwise_are_told_and_mended(tmp_path):
    write(tmp_path)
    info = tmp_path / "dataset_info.json"
    content = json.loads(info.read_text())
    content["splits"][0]["shardLengths"] = ["4", "5"]
    info.write_text(json.dumps(content))
    (tmp_path / "features.json").unlink()
    said = [str(damage) for damage in tfrecord.verify(tmp_path).damages]
    assert re.match(r"features\.json: cannot be read: .*No such file", said[0])
    assert said[1] == "dataset_info.json: says otherwise than metadata.json: splits"
    done = tfrecord.repair(tmp_path, dry_run=False)
    assert done.restated == ("features.json", "dataset_info.json")
    assert tfrecord.verify(tmp_path).sound
    assert tfds.builder_from_directory(tmp_path).info.splits["train"].num_examples == 8


def test_a_foreign_record_counts_those_damaged_before_it_and_is_not_sound(tmp_path):
    write(tmp_path)
    path = tmp_path / FILES[1]
    content = put(path.read_bytes(), TWO, framed(bytes(STRIDE - 16)))
    path.write_bytes(flip(content, 20))
    found = tfrecord.verify(tmp_path)
    places = [(d.record, d.offset, d.what) for d in found.damages]
    assert places == [(0, 0, PAYLOAD), (2, TWO, FIELDS)]
    assert found.records == 6
    assert tfrecord.repair(tmp_path).mended[0].kept == 2


LOST = {
    "a bit of a length": [2],
    "a bit of a payload": [2],
    "two records": [0, 2],
    "a length past the end": [2],
    "a cut in a header": [3],
    "a cut between records": [3],
    "more records": [],
    "zeros at the end": [],
    "zeros for the last two": [2, 3],
    "a record of another dataset": [1],
    "a shorter record of another": [1],
}


@pytest.mark.parametrize(("name", "lost"), LOST.items(), ids=LOST)
def test_repair_loses_the_damaged_records_and_no_other(tmp_path, name, lost):
    write(tmp_path)
    path = tmp_path / FILES[1]
    path.write_bytes(DAMAGES[name][0](path.read_bytes()))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    planned = tfrecord.repair(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    done = tfrecord.repair(tmp_path, dry_run=False)
    assert planned.mended == done.mended
    assert (planned.done, done.done) == (False, True)
    left = [n for n in range(8) if n - 4 not in lost]
    data = tfrecord.load(tmp_path, batch_size=len(left))
    ((batch,),) = [list(data)]
    assert batch["x"].numpy().tolist() == left
    assert batch["y"].numpy().tolist() == [n / 3 for n in left]
    assert tfrecord.verify(tmp_path).sound
    builder = tfds.builder_from_directory(tmp_path)
    numbers = [int(row["x"]) for row in builder.as_dataset(split="train")]
    assert numbers == left
    assert not [f for f in tmp_path.iterdir() if "repaired" in f.name]
    assert str(tfrecord.repair(tmp_path)) == "nothing to repair"


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("name", "lost"), LOST.items(), ids=LOST)
def test_damaged_records_are_left_out_on_request(tmp_path, name, lost, shuffle):
    write(tmp_path)
    path = tmp_path / FILES[1]
    path.write_bytes(DAMAGES[name][0](path.read_bytes()))
    before = path.read_bytes()
    given = dict(batch_size=3, on_corrupt="skip", shuffle=shuffle, seed=1)
    told = contextlib.nullcontext()
    if lost or name == "more records":
        many = f"{len(lost)} damaged of 8 records" if lost else "1 record too many"
        told = f"^{many} of `train` in {tmp_path} are left out; verify"
        told = pytest.warns(UserWarning, match=told)
    with told:
        data = tfrecord.load(tmp_path, **given)
    left = [n for n in range(8) if n - 4 not in lost]
    assert len(data) == -(-len(left) // 3)
    rows = [(int(x), float(y)) for b in data for x, y in zip(b["x"], b["y"], strict=True)]
    assert sorted(rows) == [(n, n / 3) for n in sorted(left)]
    assert (rows == sorted(rows)) != shuffle
    assert path.read_bytes() == before


def test_a_file_or_all_records_lost_are_refused_though_damage_is_skipped(tmp_path):
    write(tmp_path)
    for name in FILES:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="of records, of which some are sound"):
        tfrecord.load(tmp_path, on_corrupt="skip")
    (tmp_path / FILES[0]).unlink()
    with pytest.raises(ValueError, match="must be whole"):
        tfrecord.load(tmp_path, on_corrupt="skip")
    with pytest.raises(ValueError, match="`on_corrupt` of load must be one of 'raise'"):
        tfrecord.load(tmp_path, on_corrupt="ignore")


@pytest.mark.parametrize(
    "name", ["nothing left", "gzip", "text", "missing", "overwritten by another"]
)
def test_what_cannot_be_saved_is_refused_and_stays(tmp_path, name):
    write(tmp_path)
    (tmp_path / FILES[0]).write_bytes(b"short")
    path = tmp_path / FILES[1]
    if name == "missing":
        path.unlink()
    elif name == "overwritten by another":
        (tmp_path / FILES[0]).write_bytes(path.read_bytes())
    else:
        path.write_bytes(DAMAGES[name][0](path.read_bytes()))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"convert anew\. Received: .*d-train"):
        tfrecord.repair(tmp_path, dry_run=False)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("source", [{"x": np.arange(6)}, {"s": list("abcdef")}], ids=str)
def test_a_repaired_file_has_the_index_of_what_is_left(tmp_path, source):
    split = tfrecord.convert(source, tmp_path, name="d", index=True)
    path = tmp_path / split.shards[0].file
    content = path.read_bytes()
    length = len(content) // 6
    path.write_bytes(flip(content, 2 * length + 20))
    tfrecord.repair(tmp_path, dry_run=False)
    lines = (tmp_path / f"{path.name}.idx").read_text().splitlines()
    assert lines == [f"{n * length} {length}" for n in range(5)]
    assert tfrecord.verify(tmp_path).sound


def test_a_repair_broken_off_anywhere_goes_on(tmp_path, monkeypatch):
    original = tmp_path / "original"
    write(original)
    for name in FILES:
        path = original / name
        path.write_bytes(flip(path.read_bytes(), TWO + 20))
    real, broken = os.replace, 0
    for step in itertools.count():
        folder = shutil.copytree(original, tmp_path / str(step))
        calls = itertools.count()

        def breaks_off(*names, step=step, calls=calls):
            if next(calls) == step:
                raise KeyboardInterrupt
            real(*names)

        with monkeypatch.context() as patched:
            patched.setattr(_atomic.os, "replace", breaks_off)
            try:
                tfrecord.repair(folder, dry_run=False)
                break
            except KeyboardInterrupt:
                broken += 1
        tfrecord.repair(folder)
        tfrecord.repair(folder, dry_run=False)
        assert tfrecord.verify(folder).sound
        (batch,) = tfrecord.load(folder, batch_size=9)
        assert batch["x"].numpy().tolist() == [0, 1, 3, 4, 5, 7]
        assert not [f for f in folder.iterdir() if "repaired" in f.name]
    assert broken == 6


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "zero", "insert", "repeat"]),
        st.integers(0, 4 * STRIDE),
        st.integers(1, 2 * STRIDE),
    ),
    min_size=1,
    max_size=3,
)


def mutated(content, mutations):
    for kind, at, size in mutations:
        end = min(at + size, len(content))
        content = {
            "flip": lambda c, a, e: flip(c, a) if a < len(c) else c,
            "cut": lambda c, a, e: c[:a] + c[e:],
            "zero": lambda c, a, e: c[:a] + bytes(max(e - a, 0)) + c[e:],
            "insert": lambda c, a, e: c[:a] + bytes(range(e - a)) + c[a:],
            "repeat": lambda c, a, e: c[:a] + c[a:e] + c[a:],
        }[kind](content, at, end)
    return content


@settings(max_examples=60, deadline=None)
@given(MUTATIONS)
def test_whatever_happens_to_a_file_what_is_saved_was_written(tmp_path_factory, harm):
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder)
    path = folder / FILES[0]
    whole = path.read_bytes()
    path.write_bytes(mutated(whole, harm))
    found = tfrecord.verify(folder)
    assert found.sound == (path.read_bytes() == whole)
    written = [whole[n * STRIDE : (n + 1) * STRIDE] for n in range(4)]
    begins, ends, _ = records.scan(path.read_bytes())
    sound = [path.read_bytes()[begin:end] for begin, end in zip(begins, ends)]
    assert set(sound) <= set(written)
    if sound:
        tfrecord.repair(folder, dry_run=False)
        assert tfrecord.verify(folder).sound
        numbers = [int(row["x"]) for row in tfrecord.load(folder)]
        there = [written.index(one) for one in sound]
        assert numbers[-4:] == [4, 5, 6, 7]
        assert len(numbers) == min(len(there), 4) + 4
        assert set(numbers[:-4]) == set(there)
        assert len(there) > 4 or numbers[:-4] == there
    else:
        with pytest.raises(ValueError, match="convert anew"):
            tfrecord.repair(folder, dry_run=False)
    shutil.rmtree(folder)


def foreign(folder, *counts):
    """Writes records of several lengths by TensorFlow, as TFDS names and lists them."""
    for index, count in enumerate(counts):
        name = f"cats-test.tfrecord-{index:05d}-of-{len(counts):05d}"
        with tf.io.TFRecordWriter(str(folder / name)) as writer:
            for number in range(count):
                writer.write(bytes(number * 7))
    lengths = [str(count) for count in counts]
    info = {"name": "cats", "splits": [{"name": "test", "shardLengths": lengths}]}
    (folder / "dataset_info.json").write_text(json.dumps(info))


def test_files_of_others_are_verified_by_their_records(tmp_path):
    foreign(tmp_path, 9, 5)
    assert tfrecord.verify(tmp_path).sound
    assert tfrecord.verify(tmp_path).records == 14
    first = tmp_path / "cats-test.tfrecord-00000-of-00002"
    content = first.read_bytes()
    at = sum(16 + 7 * n for n in range(6))
    first.write_bytes(flip(content, at + 20))
    (tmp_path / "cats-test.tfrecord-00001-of-00002").unlink()
    assert [str(damage) for damage in tfrecord.verify(tmp_path).damages] == [
        f"{first.name}, record 6, byte {at}: {PAYLOAD}",
        "cats-test.tfrecord-00001-of-00002: is missing",
    ]
    first.write_bytes(content[:at])
    damages = tfrecord.verify(tmp_path).damages
    assert str(damages[0]) == f"{first.name}: has 6 records, not 9"
    with pytest.raises(ValueError, match="a folder that convert wrote"):
        tfrecord.repair(tmp_path)


def test_loose_files_are_verified_too(tmp_path):
    foreign(tmp_path, 3)
    (tmp_path / "dataset_info.json").unlink()
    next(tmp_path.iterdir()).rename(tmp_path / "some.tfrecords")
    (tmp_path / "notes.tfrecord.txt").write_text("not one")
    assert tfrecord.verify(tmp_path).records == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "a", "splits": [{}]}'])
def test_what_is_no_folder_of_records_is_refused(tmp_path, text):
    for folder in tmp_path, tmp_path / "none":
        with pytest.raises(ValueError, match="`directory` of verify must be a folder"):
            tfrecord.verify(folder)
    (tmp_path / "dataset_info.json").write_text(text)
    with pytest.raises(ValueError, match="`directory` of verify must be one whose data"):
        tfrecord.verify(tmp_path)


def test_says_how_far_it_is(tmp_path):
    write(tmp_path)
    told = []
    tfrecord.verify(tmp_path, on_bytes=lambda *counts: told.append(counts))
    assert told == [(4 * STRIDE, 8 * STRIDE)] * 2


def test_after_a_damaged_length_the_next_record_is_found_wherever_it_is():
    chance = np.random.default_rng(0)
    rest = framed(b"sound") + framed(b"")
    for size in 1, 11, 2**20 - 20, 2**20 - 1, 2**20, 2**20 + 5, 3 * 2**20:
        for filler in bytes(size), chance.bytes(size):
            begins, ends, flaws = records.scan(filler + rest)
            assert begins.tolist() == [size, size + 21]
            assert ends.tolist() == [size + 21, size + 37]
            assert [flaw[:2] for flaw in flaws] == [(0, 0)]

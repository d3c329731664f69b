"""What `load` gives to workers, from a step on, from memory, and of records by others."""

import functools
import io
import itertools
import json
import os
import pathlib
import re
import struct
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from on_disk import Steps
from PIL import Image

from keras_sched import tfrecord
from keras_sched.tfrecord import batches as batching
from keras_sched.tfrecord import cache, files

PIXELS = np.random.default_rng(0).integers(0, 256, (13, 4, 5, 3), "uint8")


def words(count):
    return [f"{n} " + n * "\0" for n in range(count)]


# By kind, so many records as `convert` takes them: `n` is the number of each.
KINDS = {
    "stride": lambda count: {"n": np.arange(count), "x": np.sqrt(np.arange(count))},
    "strings": lambda count: {"n": np.arange(count), "s": words(count)},
    "images": lambda count: {"n": np.arange(count), "image": PIXELS[:count]},
    "ragged": lambda count: {
        "n": np.arange(count),
        "a": [np.full((n % 4, 2), n, "float32") for n in range(count)],
        "s": [np.array([str(n)] * (n % 3), str) for n in range(count)],
    },
}
one_length_or_several = pytest.mark.parametrize("kind", ["stride", "strings"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns the folder of so many records of a kind, in two files."""

    @functools.cache
    def written(kind, count):
        directory = tmp_path_factory.mktemp(kind)
        image_format = "png" if kind == "images" else "keep"
        how = dict(name="d", shards=2, image_format=image_format, workers=1)
        tfrecord.convert(KINDS[kind](count), directory, progress=False, **how)
        return directory

    return written


def exact(data):
    """Returns all elements, of arrays their bits."""
    return [
        {
            name: value.tolist()
            if value.dtype == object
            else (value.dtype.name, value.shape, value.tobytes())
            for name, value in sorted((k, np.asarray(v)) for k, v in one.items())
        }
        for one in data.as_numpy_iterator()
    ]


def batches(data):
    """Returns the numbers of the records, by batch."""
    return [np.atleast_1d(one["n"]).tolist() for one in data.as_numpy_iterator()]


def numbers(data):
    return list(itertools.chain(*batches(data)))


# Workers

SPREAD = [  # So many records, so many in a batch, whether shuffled, and workers.
    ("stride", 7, 2, True, 1),
    ("stride", 7, 3, False, 2),
    ("stride", 7, 2, True, 4),
    ("stride", 9, 2, True, 2),
    ("stride", 12, 3, True, 4),
    ("stride", 13, 2, True, 3),
    ("stride", 13, 3, False, 4),
    ("stride", 13, 4, True, 3),
    ("strings", 7, 3, True, 2),
    ("strings", 8, 4, False, 2),
    ("strings", 9, 2, True, 4),
    ("strings", 13, 4, True, 3),
]
spread = pytest.mark.parametrize("row", SPREAD, ids=str)


@pytest.fixture(scope="module")
def workers(folder):
    """Returns the batches of each of so many workers, and those of one alone."""

    @functools.cache
    def read(row, drop_remainder=False):
        kind, count, size, shuffle, many = row
        rest = dict(shuffle=shuffle, seed=4, epoch=2, drop_remainder=drop_remainder)
        load = functools.partial(tfrecord.load, folder(kind, count), **rest)
        parts = [load(batch_size=size, shard=(index, many)) for index in range(many)]
        alone = load(batch_size=size * many)
        assert [len(part) for part in parts] == [len(alone)] * many
        return [batches(part) for part in parts], batches(alone)

    return read


@spread
def test_workers_have_each_record_once_in_as_many_steps(workers, row):
    parts, alone = workers(row)
    assert {len(part) for part in parts} == {len(alone)}
    records = [n for part in parts for batch in part for n in batch]
    assert sorted(records) == list(range(row[1]))


@spread
def test_step_by_step_workers_have_what_one_would_have_alone(workers, row):
    parts, alone = workers(row)
    together = [sorted(itertools.chain(*step)) for step in zip(*parts)]
    alone = list(map(sorted, alone))
    given_away = [part for part in parts if part[:-1] and len(part[-2]) < row[2]]
    assert all(list(map(len, part[-2:])) == [row[2] - 1, 1] for part in given_away)
    if given_away:  # From the last full batch to the last.
        together[-2:], alone[-2:] = (
            [sorted(a + b)] for a, b in (together[-2:], alone[-2:])
        )
    assert together == alone


FULL = [
    ("stride", 8, 2, True, 2),
    ("stride", 13, 3, False, 4),
    ("stride", 13, 2, True, 3),
    ("strings", 9, 3, True, 2),
]


@pytest.mark.parametrize("row", FULL, ids=str)
def test_without_a_remainder_all_batches_of_workers_are_full(workers, row):
    parts, alone = workers(row, drop_remainder=True)
    assert {len(part) for part in parts} == {row[1] // row[4] // row[2]}
    assert {len(batch) for part in parts for batch in part} == {row[2]}
    records = [n for part in parts for batch in part for n in batch]
    assert len(set(records)) == len(records)
    together = [sorted(itertools.chain(*step)) for step in zip(*parts)]
    assert together == list(map(sorted, alone))


@one_length_or_several
def test_workers_without_batches_share_what_can_be_shared_evenly(folder, kind):
    parts = [tfrecord.load(folder(kind, 12), shard=(index, 3)) for index in range(3)]
    assert [len(part) for part in parts] == [4, 4, 4]
    assert sorted(n for part in parts for n in numbers(part)) == list(range(12))


WORKERS_REFUSED = [
    (dict(shard=(2, 2), batch_size=2), "`shard` .* an index below the count"),
    (dict(shard=(0, 0), batch_size=2), "`shard` .* an index below the count"),
    (dict(shard=(-1, 2), batch_size=2), "`shard` .* an integer of at least 0"),
    (dict(shard=2, batch_size=2), "`shard` of load must be a pair of integers"),
    (dict(shard=(0, 8), batch_size=2), "`shard` .* as many workers as .* records, 7"),
    (dict(shard=(0, 2), batch_size=1), "`batch_size` .* above 1, or drop_remainder"),
    (dict(shard=(1, 2), batch_size=1), "`batch_size` .* above 1, or drop_remainder"),
    (dict(shard=(1, 2)), "`batch_size` of load must be above 1, .*batch_size=None"),
    (
        dict(shard=(0, 4), batch_size=2, drop_remainder=True),
        "`batch_size` of load must be at most the number of records, 1",
    ),
    (
        dict(shard=(0, 8), batch_size=1, drop_remainder=True),
        "`shard` .* as many workers as .* records, 7",
    ),
]


@pytest.mark.parametrize(("how", "sentence"), WORKERS_REFUSED, ids=str)
def test_workers_that_cannot_share_are_refused(folder, how, sentence):
    with pytest.raises(ValueError, match=sentence):
        tfrecord.load(folder("stride", 7), **how)


# Steps and passes


@one_length_or_several
@pytest.mark.parametrize(
    ("count", "how"),
    [
        (5, dict()),
        (12, dict(batch_size=4)),
        (13, dict(batch_size=4)),
        (13, dict(batch_size=4, drop_remainder=True)),
        (13, dict(batch_size=2, shard=(1, 4))),
    ],
    ids=str,
)
def test_from_a_step_on_comes_the_tail_of_the_pass(folder, kind, count, how):
    how = dict(shuffle=True, seed=5, epoch=1, **how)
    load = functools.partial(tfrecord.load, folder(kind, count), **how)
    whole = exact(load())
    for step in range(len(whole)):
        rest = load(step=step)
        assert len(rest) == len(whole) - step
        assert exact(rest) == whole[step:]


@one_length_or_several
@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("step", [0, 2])
def test_passes_follow_each_other_also_from_a_step_on(folder, kind, size, step):
    how = dict(batch_size=size, shuffle=True, seed=6)
    load = functools.partial(tfrecord.load, folder(kind, 7), **how)
    one = load(epoch=3)
    passes = [batch for _ in range(3) for batch in batches(one)]
    several = load(epoch=3, step=step, repeat=3)
    endless = load(epoch=3, step=step, repeat=None)
    assert len(several) == len(passes) - step
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    assert batches(several) == passes[step:]
    assert batches(endless.take(len(passes) - step)) == passes[step:]


def test_repeated_again_it_goes_on_with_the_next_pass(folder):
    load = functools.partial(tfrecord.load, folder("stride", 7), shuffle=True, seed=1)
    data = load(repeat=2)
    assert numbers(data) + numbers(data) == numbers(load(repeat=4))


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (dict(step=-1), "`step` of load must be an integer of at least 0"),
        (dict(step=1.0), "`step` of load must be an integer of at least 0"),
        (dict(step=3, batch_size=3), "`step` of load must be below .* steps, 3"),
        (dict(step=7), "`step` of load must be below the number of steps, 7"),
        (dict(repeat=0), "`repeat` of load must be an integer of at least 1"),
        (dict(repeat=-1), "`repeat` of load must be an integer of at least 1"),
    ],
    ids=str,
)
def test_steps_and_passes_that_are_not_there_are_refused(folder, how, sentence):
    with pytest.raises(ValueError, match=sentence):
        tfrecord.load(folder("stride", 7), **how)


# In `fit`

FITTED = {"stride": "keep", "images": "png"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Returns the folder of 11 images and numbers, as arrays or as files."""

    @functools.cache
    def written(kind):
        directory, pair = tmp_path_factory.mktemp(kind), (PIXELS[:11], np.arange(11.0))
        tfrecord.convert(pair, directory, image_format=FITTED[kind], progress=False)
        return directory

    return written


def tiny_model():
    keras.utils.set_random_seed(0)
    parts = keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((4, 5, 3)), *parts])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


class BreakOff(keras.callbacks.Callback):
    """Saves the model after so many steps, and ends the process, so to say."""

    def __init__(self, path, steps):
        super().__init__()
        self.path, self.left = path, steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            self.model.save(self.path)
            raise KeyboardInterrupt


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("kind", "how", "per_epoch", "steps"),
    [
        ("stride", dict(), None, [3, 3]),
        ("images", dict(), None, [3, 3]),
        ("images", dict(shard=(1, 2)), None, [2, 2]),
        ("stride", dict(repeat=2), None, [6, 6]),
        ("images", dict(repeat=None, step=2), 3, [3, 3]),
    ],
    ids=str,
)
def test_fit_runs_as_many_steps_as_there_are(pairs, kind, how, per_epoch, steps):
    data, counter = tfrecord.load(pairs(kind), batch_size=4, **how), Steps()
    run = dict(epochs=2, steps_per_epoch=per_epoch, verbose=0, shuffle=False)
    tiny_model().fit(data, callbacks=[counter], **run)
    assert counter.params["steps"] == steps[0]
    assert counter.run == steps


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("kind", "epoch", "step"), [("stride", 1, 1), ("stride", 2, 0), ("images", 0, 2)]
)
def test_training_broken_off_goes_on_bit_by_bit(pairs, kind, epoch, step, tmp_path):
    how = dict(batch_size=4, shuffle=True, seed=7, repeat=None)
    load = functools.partial(tfrecord.load, pairs(kind), **how)
    run = dict(verbose=0, shuffle=False)
    straight, broken = tiny_model(), tiny_model()
    straight.fit(load(), steps_per_epoch=3, epochs=3, **run)
    done, path = 3 * epoch + step, tmp_path / "half.keras"
    callbacks = [BreakOff(path, done)]
    with pytest.raises(KeyboardInterrupt):
        broken.fit(load(), steps_per_epoch=3, epochs=3, callbacks=callbacks, **run)
    resumed = keras.saving.load_model(path)
    resumed.fit(load(epoch=epoch, step=step), steps_per_epoch=9 - done, **run)
    for ours, theirs in zip(resumed.get_weights(), straight.get_weights()):
        assert ours.tobytes() == theirs.tobytes()


# In memory


@pytest.fixture
def records_read(monkeypatch):
    """Has the records counted that are taken from files to be decoded."""
    read, payloads = [], files.File.payloads

    def counted(file, some):
        read.extend(some)
        return payloads(file, some)

    monkeypatch.setattr(files.File, "payloads", counted)
    return read


@pytest.fixture
def batch_by_batch(monkeypatch):
    """Has each batch read by itself."""
    monkeypatch.setattr(batching, "_CHUNK_BYTES", 1)


@pytest.mark.usefixtures("batch_by_batch")
@pytest.mark.parametrize(
    ("kind", "how", "free", "times"),
    [
        ("images", dict(cache=True), 0, 1),
        ("images", dict(cache=False), 2**40, 3),
        ("images", dict(), 2**40, 1),
        ("images", dict(), 2 * 13 * (4 * 5 * 3 + 8), 1),
        ("images", dict(), 2 * 13 * (4 * 5 * 3 + 8) - 1, 3),
        ("images", dict(image_size=(400, 500)), 2 * 13 * (4 * 5 * 3 + 8), 3),
        ("strings", dict(cache=True), 0, 1),
        ("strings", dict(), 2**40, 3),
        ("ragged", dict(batch_size=None), 2**40, 3),
    ],
)
def test_what_is_kept_is_decoded_once(
    folder, monkeypatch, records_read, kind, how, free, times
):
    monkeypatch.setattr(cache, "free_memory", lambda: free)
    how = dict(batch_size=4, repeat=3) | how
    assert numbers(tfrecord.load(folder(kind, 13), **how)) == [*range(13)] * 3
    assert len(records_read) == times * 13


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("images", dict(batch_size=4, shuffle=True, seed=8, repeat=3, step=2)),
        ("strings", dict(batch_size=4, shuffle=True, seed=8, repeat=3, step=2)),
        ("images", dict(image_size=(3, 3), repeat=2)),
    ],
    ids=str,
)
@pytest.mark.usefixtures("batch_by_batch")
def test_what_is_kept_is_what_is_decoded_bit_by_bit(folder, kind, how):
    kept, anew = (
        exact(tfrecord.load(folder(kind, 13), cache=use, **how)) for use in (True, False)
    )
    assert kept == anew


def test_strings_are_kept_as_they_were(folder):
    data = tfrecord.load(folder("strings", 7), batch_size=7, cache=True, repeat=2)
    for batch in data.as_numpy_iterator():
        assert batch["s"].tolist() == [word.encode() for word in words(7)]


def test_records_that_differ_in_shape_are_not_kept(folder):
    with pytest.raises(ValueError, match="`cache` of load .* records differ in shape"):
        tfrecord.load(folder("ragged", 7), cache=True)


# What it says of itself


@pytest.mark.parametrize(
    ("kind", "how", "lines"),
    [
        (
            "stride",
            dict(batch_size=2),
            [
                r"7 records: sliced, as each is \d+ bytes long",
                "7 of them in 4 steps a pass, in order",
            ],
        ),
        (
            "strings",
            dict(batch_size=2, shuffle=True, shard=(1, 2)),
            [
                "7 records: parsed and decoded in batches, as they differ in length",
                "3 of them in 2 steps a pass, shuffled as a whole, without a buffer",
                "decoded anew in each pass: they are 0 MB",
            ],
        ),
        (
            "ragged",
            dict(),
            [
                "7 records: parsed and decoded one by one, as they differ in shape",
                "7 of them in 7 steps a pass, in order",
                "decoded anew in each pass: they differ in shape",
            ],
        ),
        (
            "images",
            dict(batch_size=7, cache=True),
            [
                "7 records: parsed and decoded in batches, .*",
                "7 of them in 1 step a pass, in order",
                "decoded, they are kept in memory: 0 MB",
            ],
        ),
    ],
    ids=["sliced", "in batches", "one by one", "kept"],
)
def test_it_explains_how_it_reads(folder, capsys, kind, how, lines):
    tfrecord.load(folder(kind, 7), explain=True, **how)
    said = capsys.readouterr()
    assert re.fullmatch("\n".join(lines), said.err.strip())
    tfrecord.load(folder(kind, 7), **how)
    assert (capsys.readouterr().err, said.out) == ("", "")


# Records of several shapes


def test_records_of_several_shapes_come_one_by_one_as_they_were(folder):
    found = list(tfrecord.load(folder("ragged", 9)).as_numpy_iterator())
    for n, record in enumerate(found):
        assert (int(record["n"]), record["a"].dtype) == (n, np.float32)
        np.testing.assert_array_equal(record["a"], np.full((n % 4, 2), n))
        assert record["s"].tolist() == [str(n).encode()] * (n % 3)
    assert len(found) == 9


@pytest.mark.parametrize("kind", ["strings", "images", "ragged"])
def test_the_order_is_that_of_records_of_one_length(folder, kind):
    how = dict(shuffle=True, seed=9, epoch=4)
    expected = numbers(tfrecord.load(folder("stride", 13), **how))
    assert numbers(tfrecord.load(folder(kind, 13), **how)) == expected


def test_images_of_several_sizes_are_made_one_size_in_batches(tmp_path):
    sizes = (2, 3), (6, 4), (4, 6)
    arrays = [np.full((*size, 3), 40 * n, "uint8") for n, size in enumerate(sizes)]
    for n, array in enumerate(arrays):
        (tmp_path / "in" / f"{n}").mkdir(parents=True)
        png = tf.io.encode_png(array).numpy()
        (tmp_path / "in" / f"{n}" / "a.png").write_bytes(png)
    out = tmp_path / "out"
    tfrecord.convert(tmp_path / "in", out, workers=1, progress=False)
    for image, label in tfrecord.load(out).as_numpy_iterator():
        np.testing.assert_array_equal(image, arrays[label])
        assert image.shape == arrays[label].shape
    with pytest.raises(ValueError, match="`batch_size` .*, or image_size given"):
        tfrecord.load(out, batch_size=3)
    ((images, labels),) = tfrecord.load(out, batch_size=3, image_size=(4, 5))
    assert images.shape == (3, 4, 5, 3)
    assert (images.numpy() == 40 * labels.numpy()[:, None, None, None]).all()


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("column", [np.arange(3), ["a", "b", "cc"]], ids=["1", "several"])
def test_a_tuple_of_one_stays_one(tmp_path, column, size):
    tfrecord.convert((column,), tmp_path, progress=False)
    first = next(iter(tfrecord.load(tmp_path, batch_size=size)))
    assert isinstance(first, tuple)
    assert first[0].shape == ([size] if size else [])


def test_lists_of_strings_come_back_as_they_were(tmp_path):
    lists = [["a", "b\0"], ["c\0\0"], ["d", "", "e"]]
    tfrecord.convert(
        {"s": lists, "b": [[b"\0"], [b""], [b"\xff\0"]]}, tmp_path, progress=False
    )
    found = list(tfrecord.load(tmp_path).as_numpy_iterator())
    assert [one["s"].tolist() for one in found] == [
        [word.encode() for word in each] for each in lists
    ]
    assert [one["b"].tolist() for one in found] == [[b"\0"], [b""], [b"\xff\0"]]


def test_lists_of_strings_may_be_empty(tmp_path):
    tfrecord.convert({"s": [["a", "b"], [], ["c"]]}, tmp_path, progress=False)
    found = [one["s"].tolist() for one in tfrecord.load(tmp_path).as_numpy_iterator()]
    assert found == [[b"a", b"b"], [], [b"c"]]


# Damage in files of records of several lengths

FILE = "d-train.tfrecord-00000-of-00001"
COUNT = 6


def written(directory, kind="strings"):
    """Writes some records of several lengths; returns their file and its places."""
    source = KINDS[kind](COUNT)
    tfrecord.convert(source, directory, name="d", overwrite=True, progress=False)
    path = directory / FILE
    return path, places(path)


def places(path):
    """Returns where each record begins, and how long it is, by the heads of all."""
    content, found, at = path.read_bytes(), [], 0
    while at < len(content):
        found.append((at, struct.unpack_from("<Q", content, at)[0] + 16))
        at += found[-1][1]
    return found


def flip(path, at, bit=0):
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def index_of(path):
    return path.with_name(f"{path.name}.idx")


def put_index(path, pairs):
    index_of(path).write_text("".join(f"{begin} {length}\n" for begin, length in pairs))


LENGTH = "the length does not match its checksum"
PAYLOAD = "the payload does not match its checksum"
HARM = {
    "the low byte of the length": (0, LENGTH),
    "the high byte of the length": (7, LENGTH),
    "the checksum of the length": (9, LENGTH),
    "the first byte of the payload": (12, PAYLOAD),
    "the last byte of the payload": (-5, PAYLOAD),
    "the checksum of the payload": (-1, PAYLOAD),
}
several_lengths = pytest.mark.parametrize("kind", ["strings", "ragged"])


@several_lengths
@pytest.mark.parametrize(("at", "what"), HARM.values(), ids=HARM)
def test_damage_is_named_by_file_record_and_byte(tmp_path, kind, at, what):
    path, where = written(tmp_path, kind)
    begin, length = where[2]
    flip(path, begin + at % length)
    named = re.escape(f"{path}, record 2, byte {begin}: {what}")
    with pytest.raises(tf.errors.InvalidArgumentError, match=named):
        list(tfrecord.load(tmp_path))


@pytest.mark.usefixtures("batch_by_batch")
def test_no_flipped_byte_of_a_record_goes_unseen(tmp_path):
    source = {"n": np.arange(100), "s": ["some"] * 100}
    tfrecord.convert(source, tmp_path, name="d", progress=False)
    path = tmp_path / FILE
    where = places(path)
    length = where[0][1]
    for record in range(length):
        flip(path, where[record][0] + record, bit=record % 8)
    for n, batch in zip(range(length), _outcomes(tfrecord.load(tmp_path, batch_size=1))):
        assert re.search(f"record {n}, byte {where[n][0]}: ", str(batch))


def _outcomes(data):
    """Yields each batch, or what is raised in its place."""
    batches = iter(data)
    while True:
        try:
            yield next(batches)
        except StopIteration:
            return
        except tf.errors.InvalidArgumentError as error:
            yield error


@several_lengths
@pytest.mark.parametrize(
    ("index", "harmed"), [(True, (0,)), (False, (2, 3)), (True, (1, 5))]
)
def test_what_is_damaged_is_left_out_and_nothing_else(tmp_path, kind, index, harmed):
    path, where = written(tmp_path, kind)
    if not index:
        index_of(path).unlink()
    for turn, record in enumerate(harmed):
        flip(path, where[record][0] + (3, 14)[turn])
    with pytest.warns(UserWarning, match=f"{len(harmed)} damaged of {COUNT} records"):
        data = tfrecord.load(tmp_path, on_corrupt="skip")
    kept = [n for n in range(COUNT) if n not in harmed]
    assert (len(data), numbers(data)) == (len(kept), kept)


def test_a_file_cut_off_is_refused_or_gives_what_is_left(tmp_path):
    path, where = written(tmp_path)
    path.write_bytes(path.read_bytes()[: where[-1][0] + 5])
    with pytest.raises(
        ValueError, match=f"must be whole: {re.escape(str(path))} must be"
    ):
        tfrecord.load(tmp_path)
    with pytest.warns(UserWarning, match=f"1 damaged of {COUNT} records"):
        data = tfrecord.load(tmp_path, on_corrupt="skip")
    assert numbers(data) == [*range(COUNT - 1)]


INDICES = {  # From where the records are.
    "missing": lambda path, where: index_of(path).unlink(),
    "a folder": lambda path, where: (index_of(path).unlink(), index_of(path).mkdir()),
    "empty": lambda path, where: put_index(path, []),
    "no text": lambda path, where: index_of(path).write_bytes(bytes(range(256))),
    "odd": lambda path, where: index_of(path).write_text("0 1 2"),
    "too large": lambda path, where: put_index(path, [(10**30, 1)] * COUNT),
    "negative": lambda path, where: put_index(path, [(-1, 5)] * COUNT),
    "of fewer records": lambda path, where: put_index(path, where[:-1]),
    "of a longer file": lambda path, where: put_index(
        path, [*where[:-1], (where[-1][0], 10**6)]
    ),
    "shifted": lambda path, where: put_index(path, [(b + 1, n) for b, n in where]),
    "backwards": lambda path, where: put_index(path, where[::-1]),
}


@pytest.mark.parametrize("harm", INDICES.values(), ids=INDICES)
def test_an_index_that_is_not_of_the_file_is_found_anew(tmp_path, harm):
    path, where = written(tmp_path)
    harm(path, where)
    data = tfrecord.load(tmp_path, batch_size=4)
    assert [s for batch in data.as_numpy_iterator() for s in batch["s"]] == [
        word.encode() for word in words(COUNT)
    ]


@pytest.fixture(scope="module")
def whole(folder):
    """Returns all records of a kind."""
    return functools.cache(lambda kind: exact(tfrecord.load(folder(kind, COUNT))))


def moved(where, by, length=None):
    """Returns an index that hangs together, with a boundary moved."""
    (begin, first), (_, second) = where[1:3]
    first = length or first + by
    total = where[1][1] + second
    return [where[0], (begin, first), (begin + first, total - first), *where[3:]]


WRONG = {
    "one byte less": lambda where: moved(where, -1),
    "one byte more": lambda where: moved(where, 1),
    "no room for a head": lambda where: moved(where, 0, 10),
    "a record and the next": lambda where: moved(where, 0, where[1][1] + where[2][1]),
    "past the end of the file": lambda where: moved(where, 0, 10**7),
    "before it": lambda where: moved(where, 0, -50),
}


@pytest.mark.parametrize(
    ("kind", "on_corrupt"),
    [("strings", "raise"), ("strings", "skip"), ("ragged", "skip")],
)
@pytest.mark.parametrize("harm", WRONG.values(), ids=WRONG)
def test_an_index_that_hangs_together_and_is_wrong_gives_no_wrong_record(
    tmp_path, whole, kind, harm, on_corrupt
):
    """All records are right, or an error names one whose place is not."""
    path, where = written(tmp_path, kind)
    put_index(path, harm(where))
    data = tfrecord.load(tmp_path, on_corrupt=on_corrupt)
    named = f"{path}, record [12], byte ({where[1][0]}|{where[2][0]})"
    if not re.search(named, str(next(_outcomes(data)))):
        assert exact(data) == whole(kind)


def test_a_stale_index_of_another_dataset_is_noticed(tmp_path):
    path, where = written(tmp_path)
    stale = index_of(path).read_bytes()
    source = {"n": np.arange(COUNT), "s": words(COUNT)[::-1]}
    tfrecord.convert(source, tmp_path, name="d", overwrite=True, progress=False)
    assert where[-1][0] + where[-1][1] == path.stat().st_size
    index_of(path).write_bytes(stale)
    assert not tfrecord.verify(tmp_path).sound
    with pytest.raises(tf.errors.InvalidArgumentError, match="record 0, byte 0: "):
        numbers(tfrecord.load(tmp_path))
    tfrecord.repair(tmp_path, dry_run=False)
    assert numbers(tfrecord.load(tmp_path)) == [*range(COUNT)]


@several_lengths
def test_a_sound_record_of_something_else_is_an_error_no_crash(tmp_path, kind):
    path, where = written(tmp_path, kind)
    begin, length = where[3]
    with tf.io.TFRecordWriter(str(tmp_path / "other")) as writer:
        writer.write(b"\xff" * (length - 16))
    content = bytearray(path.read_bytes())
    content[begin : begin + length] = (tmp_path / "other").read_bytes()
    path.write_bytes(content)
    with pytest.raises((tf.errors.InvalidArgumentError, UnicodeError)):
        list(tfrecord.load(tmp_path))


# What others have written


def example(**features):
    """Returns a serialized `tf.train.Example`; an empty list is one of bytes."""
    kinds = {
        bytes: lambda v: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)),
        int: lambda v: tf.train.Feature(int64_list=tf.train.Int64List(value=v)),
        float: lambda v: tf.train.Feature(float_list=tf.train.FloatList(value=v)),
    }
    feature = {n: kinds[type((v or [b""])[0])](v) for n, v in features.items()}
    features = tf.train.Features(feature=feature)
    return tf.train.Example(features=features).SerializeToString()


def write(directory, *payloads, file="cats-train.tfrecord-00000-of-00001", **options):
    with tf.io.TFRecordWriter(str(directory / file), **options) as writer:
        for payload in payloads:
            writer.write(payload)
    return directory


def plain(tensor):
    value = tensor.numpy()
    return value if isinstance(value, bytes) else value.tolist()


def encoded(form):
    return [getattr(tf.io, f"encode_{form}")(image).numpy() for image in PIXELS[:3]]


def decoded(form):
    files = encoded(form)
    return [getattr(tf.io, f"decode_{form}")(file).numpy().tolist() for file in files]


OTHERS = {  # What three records of others hold, and as what it is to come back.
    "an integer": ([[3], [-1], [2**40]], "int64", (), [3, -1, 2**40]),
    "integers": ([[1, 2], [3, 4], [5, 6]], "int64", (2,), [[1, 2], [3, 4], [5, 6]]),
    "more or less": ([[1], [3, 4], [5] * 3], "int64", (None,), [[1], [3, 4], [5] * 3]),
    "a float": ([[0.5], [-1.0], [2.0]], "float32", (), [0.5, -1.0, 2.0]),
    "floats": (
        [[0.5] * 2, [0.25], [1.0]],
        "float32",
        (None,),
        [[0.5] * 2, [0.25], [1.0]],
    ),
    "bytes": ([[b"a\0"], [b""], [b"cc"]], "string", (), [b"a\0", b"", b"cc"]),
    "strings": (
        [[b"a"], [], [b"c\0", b"d"]],
        "string",
        (None,),
        [[b"a"], [], [b"c\0", b"d"]],
    ),
    "PNG": ([[file] for file in encoded("png")], "uint8", (4, 5, 3), decoded("png")),
    "JPEG": ([[file] for file in encoded("jpeg")], "uint8", (4, 5, 3), decoded("jpeg")),
}


@pytest.mark.parametrize(
    ("values", "dtype", "shape", "back"), OTHERS.values(), ids=OTHERS
)
def test_records_of_others_are_read_once_adopted(tmp_path, values, dtype, shape, back):
    write(tmp_path, *(example(v=value, n=[n]) for n, value in enumerate(values)))
    with pytest.raises(ValueError, match="must be a folder that convert wrote"):
        tfrecord.load(tmp_path)
    found = tfrecord.inspect(tmp_path, adopt=True)
    assert [(split.name, split.records) for split in found.splits] == [("train", 3)]
    data = tfrecord.load(tmp_path)
    spec = data.element_spec["v"]
    assert (spec.dtype, spec.shape.as_list()) == (dtype, list(shape))
    assert [plain(one["v"]) for one in data] == back
    if None not in shape:
        (batch,) = tfrecord.load(tmp_path, batch_size=3)
        assert batch["v"].numpy().tolist() == back


@pytest.fixture
def adopted(tmp_path):
    """Returns a folder of two files of others, 7 and 6 records."""
    rows = [
        example(n=[n], image=[encoded("png")[n % 3]], label=[n % 2]) for n in range(13)
    ]
    write(tmp_path, *rows[:7], file="cats-train.tfrecord-00000-of-00002")
    write(tmp_path, *rows[7:], file="cats-train.tfrecord-00001-of-00002")
    found = tfrecord.inspect(tmp_path, adopt=True)
    assert (found.name, found.labels) == ("cats", {"train": {0: 7, 1: 6}})
    return tmp_path


def test_adopted_records_are_shared_shuffled_kept_and_resumed_as_ours(adopted, folder):
    how = dict(batch_size=2, shuffle=True, seed=3, epoch=1, shard=(1, 2), step=1)
    ours = batches(tfrecord.load(folder("stride", 13), **how))
    load = functools.partial(tfrecord.load, adopted, as_supervised=False, **how)
    assert batches(load()) == batches(load(cache=True)) == ours
    images = [image for one in load() for image in one["image"].numpy()]
    expected = [PIXELS[n % 3] for n in itertools.chain(*ours)]
    np.testing.assert_array_equal(images, expected)


def test_adopted_image_and_label_are_a_pair(adopted):
    (images, labels), *_ = tfrecord.load(adopted, batch_size=3).as_numpy_iterator()
    np.testing.assert_array_equal(images, PIXELS[:3])
    assert labels.tolist() == [0, 1, 0]


def test_adopted_records_are_verified(adopted):
    assert tfrecord.verify(adopted).sound
    path = adopted / "cats-train.tfrecord-00001-of-00002"
    flip(path, 20)
    (damage,) = tfrecord.verify(adopted).damages
    assert (damage.file, damage.record, damage.offset) == (path.name, 0, 0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="record 0, byte 0: "):
        list(tfrecord.load(adopted))
    with pytest.warns(UserWarning, match="1 damaged of 13 records"):
        data = tfrecord.load(adopted, on_corrupt="skip", as_supervised=False)
    assert numbers(data) == [n for n in range(13) if n != 7]


def test_an_adopted_folder_is_not_written_to(adopted):
    before = {path: path.read_bytes() for path in adopted.iterdir()}
    for dry_run in True, False:
        with pytest.raises(
            ValueError, match="`directory` of repair must be a folder that"
        ):
            tfrecord.repair(adopted, dry_run=dry_run)
    for how in dict(split="train", overwrite=True), dict(split="test"):
        with pytest.raises(
            ValueError, match="must be without a dataset that convert did"
        ):
            tfrecord.convert({"n": [1]}, adopted, progress=False, **how)
    assert {path: path.read_bytes() for path in adopted.iterdir()} == before


SEQUENCE = tf.train.SequenceExample().SerializeToString()
NOT_ADOPTED = {
    "lacks a field": ([example(a=[1], b=[2]), example(a=[1])], "all have `b`"),
    "of two kinds": ([example(a=[1]), example(a=[0.5])], "`a`, of one kind"),
    "no Example": ([b"\xff" * 9], r"whose records are tf\.train\.Example"),
    "nothing in them": ([b"", b""], r"tf\.train\.Example|fields"),
    "SequenceExamples": ([SEQUENCE] * 2, r"tf\.train\.Example|fields"),
}


@pytest.mark.parametrize(("payloads", "sentence"), NOT_ADOPTED.values(), ids=NOT_ADOPTED)
def test_records_that_are_not_alike_are_refused(tmp_path, payloads, sentence):
    write(tmp_path, *payloads)
    with pytest.raises(ValueError, match=f"`directory` of inspect must .*{sentence}"):
        tfrecord.inspect(tmp_path, adopt=True)
    assert not (tmp_path / "metadata.json").exists()


def test_damaged_and_packed_files_are_refused(tmp_path):
    write(tmp_path, example(a=[1]), example(a=[2]))
    (path,) = tmp_path.iterdir()
    flip(path, places(path)[1][0] + 13)
    sentence = r"one of sound files .*cats-train.*record=1, offset=\d+.*payload does not"
    with pytest.raises(ValueError, match=sentence):
        tfrecord.inspect(tmp_path, adopt=True)
    write(tmp_path, example(a=[1]), options="GZIP")
    with pytest.raises(ValueError, match="one of sound files .*compressed by gzip"):
        tfrecord.inspect(tmp_path, adopt=True)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_files_named_as_many_name_them_are_one_split(tmp_path):
    for n in range(2):
        write(tmp_path, example(n=[n]), file=f"train-0000{n}-of-00002.tfrecord")
    (split,) = tfrecord.inspect(tmp_path, adopt=True).splits
    assert (split.name, split.records) == ("train", 2)
    assert numbers(tfrecord.load(tmp_path)) == [0, 1]


def stored(directory, features, rows, monkeypatch):
    """Returns the folder that TFDS writes of rows."""
    features = tfds.features.FeaturesDict(features)
    spec = features.get_tensor_spec()
    data = tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=spec)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="cats",
        version="1.0.0",
        features=features,
        split_datasets={"train": data},
        data_dir=directory,
        disable_shuffling=True,
    )
    return pathlib.Path(builder.data_dir)


TFDS = {  # Features, and rows of them.
    "images and classes": (
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        },
        [{"image": PIXELS[n], "label": n % 2} for n in range(3)],
    ),
    "scalars and text": (
        {
            "b": np.bool_,
            "i": np.int32,
            "f": np.float32,
            "t": tfds.features.Text(),
        },
        [{"b": n > 1, "i": -n, "f": n / 3, "t": n * "é"} for n in range(3)],
    ),
    "arrays": (
        {
            "a": tfds.features.Tensor(shape=(2, 2), dtype=np.uint8),
            "r": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
            "d": tfds.features.Tensor(shape=(2,), dtype=np.float64, encoding="bytes"),
        },
        [
            {"a": np.eye(2) * n, "r": np.ones((n, 2)) / 3, "d": np.arange(2) / 3}
            for n in range(3)
        ],
    ),
    "dicts and sequences": (
        {
            "in": {"a": np.int64},
            "s": tfds.features.Sequence(np.int64),
            "two": tfds.features.Sequence(np.float32, length=2),
        },
        [{"in": {"a": n}, "s": np.arange(n), "two": [n, 0.5]} for n in range(3)],
    ),
}


@pytest.mark.parametrize(("features", "rows"), TFDS.values(), ids=TFDS)
def test_a_folder_of_tfds_is_read_as_tfds_reads_it(tmp_path, features, rows, monkeypatch):
    folder = stored(tmp_path, features, rows, monkeypatch)
    tfrecord.inspect(folder, adopt=True)
    assert tfrecord.verify(folder).sound
    theirs = tfds.builder_from_directory(folder).as_dataset(split="train")
    ours = tfrecord.load(folder)
    assert len(ours) == 3
    for our, their in zip(ours, theirs):
        tf.nest.assert_same_structure(our, their)
        for one, other in zip(tf.nest.flatten(our), tf.nest.flatten(their)):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_names_of_classes_are_kept(tmp_path, monkeypatch):
    folder = stored(tmp_path, *TFDS["images and classes"], monkeypatch)
    found = tfrecord.inspect(folder, adopt=True)
    assert (found.name, found.columns[1].classes) == ("cats", ("cat", "dog"))
    assert found.labels == {"train": {"cat": 2, "dog": 1}}
    assert tfrecord.inspect(folder) == found


UNKNOWN = {
    "packed": tfds.features.Tensor(shape=(2,), dtype=np.float32, encoding="zlib"),
    "floats as an image": tfds.features.Image(shape=(2, 2, 1), dtype=np.float32),
    "boxes": tfds.features.BBoxFeature(),
    "a sequence of dicts": tfds.features.Sequence({"a": np.int64, "b": np.int64}),
    "lists of lists": tfds.features.Sequence(tfds.features.Sequence(np.int64)),
}


@pytest.mark.parametrize("feature", UNKNOWN.values(), ids=UNKNOWN)
def test_features_that_are_not_known_are_refused(tmp_path, feature):
    tfds.features.FeaturesDict({"x": feature}).save_config(tmp_path)
    write(tmp_path, example(x=[encoded("png")[0]]))
    with pytest.raises(ValueError, match="must be of (features|tensors|images) .*'x'"):
        tfrecord.inspect(tmp_path, adopt=True)
    assert not (tmp_path / "metadata.json").exists()


def moving():
    """Returns a WebP of several pictures."""
    first, *others = map(Image.fromarray, PIXELS)
    file = io.BytesIO()
    first.save(file, "webp", lossless=True, save_all=True, append_images=others)
    return file.getvalue()


@pytest.mark.parametrize("bad", [moving(), encoded("png")[1][:-9], b"text"])
def test_an_image_that_cannot_be_decoded_among_others_is_not_adopted(tmp_path, bad):
    good = [example(image=[file]) for file in encoded("png")]
    write(tmp_path, *good[:2], example(image=[bad]), good[2])
    with pytest.raises(ValueError, match="images that TensorFlow.*, record 2: is "):
        tfrecord.inspect(tmp_path, adopt=True)
    assert not (tmp_path / "metadata.json").exists()


def test_fields_in_one_another_are_not_adopted(tmp_path):
    row = {"image": [encoded("png")[0]], "image/label": [3]}
    write(tmp_path, example(**row))
    with pytest.raises(ValueError, match="none is in another.*'image/label'"):
        tfrecord.inspect(tmp_path, adopt=True)
    assert not (tmp_path / "metadata.json").exists()


def test_a_folder_of_tfds_that_lacks_a_file_is_refused(tmp_path, monkeypatch):
    folder = stored(tmp_path, *TFDS["scalars and text"], monkeypatch)
    (path,) = folder.glob("*.tfrecord-*")
    path.unlink()
    with pytest.raises(ValueError, match=f"`directory` of inspect .*{path.name}"):
        tfrecord.inspect(folder, adopt=True)


def test_an_image_cut_off_is_named_by_its_file(tmp_path, monkeypatch):
    folder = stored(tmp_path, *TFDS["images and classes"], monkeypatch)
    (path,) = folder.glob("*.tfrecord-*")
    write(folder, example(image=[encoded("png")[0][:-9]], label=[0]), file=path.name)
    info = folder / "dataset_info.json"
    content = json.loads(info.read_text())
    content["splits"][0]["shardLengths"] = ["1"]
    info.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{path.name}.*cut off"):
        tfrecord.inspect(folder, adopt=True)


# On several devices

MIRRORED = """
import json, sys
import tensorflow as tf
from keras_sched import tfrecord

(cpu,) = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
seen = []
for directory, how in json.loads(sys.argv[1]):
    data = tfrecord.load(directory, shuffle=True, seed=1, **how)
    steps = strategy.experimental_distribute_dataset(data)
    parts = [strategy.experimental_local_results(one["n"]) for one in steps]
    seen.append([[part.numpy().tolist() for part in each] for each in parts])
print(json.dumps(seen))
"""


def test_two_devices_see_each_record_once(folder):
    ways = [
        (str(folder("stride", 13)), dict(batch_size=4)),
        (str(folder("strings", 13)), dict(batch_size=5, repeat=2, step=1)),
    ]
    command = [sys.executable, "-c", MIRRORED, json.dumps(ways)]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    for (place, how), steps in zip(ways, json.loads(done.stdout.splitlines()[-1])):
        alone = tfrecord.load(place, shuffle=True, seed=1, **how)
        assert [a + b for a, b in steps] == batches(alone)
        assert {len(a) - len(b) for a, b in steps} <= {0, 1}

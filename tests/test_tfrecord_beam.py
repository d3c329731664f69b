"""Conversion by Beam leaves what the local one leaves, byte by byte."""

import json
import os
import subprocess
import sys

import apache_beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from on_disk import contents
from PIL import Image

import keras_sched
from keras_sched import tfrecord
from keras_sched.tfrecord import beam

X = np.arange(70.0).reshape(7, 10)
Y = np.arange(7)
TWICE = ["--direct_runner_bundle_repeat=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns a folder of two classes with a file in it that is no image."""
    root = tmp_path_factory.mktemp("images")
    for number, name in enumerate(["cats", "dogs"]):
        (root / name).mkdir()
        for size in range(3, 8):
            pixels = np.full((size, size, 3), 30 * size + number, "uint8")
            Image.fromarray(pixels).save(root / name / f"{size}.png")
    (root / "cats" / "broken.png").write_bytes(b"no image")
    return root


def local(*args, **how):
    return tfrecord.convert(*args, workers=1, progress=False, **how)


def table(folder):
    path = folder.parent / "table.csv"
    path.write_text("height,class\n1.5,cat\n2.5,dog\n0.5,cat\n")
    return path


ROWS = {
    "arrays": (lambda folder: (X, Y), {"shards": 3}),
    "arrays with an index": (lambda folder: (X, Y), {"shards": 2, "index": True}),
    "arrays by size": (lambda folder: {"x": X}, {"shard_bytes": 300}),
    "strings": (lambda folder: {"x": ["a", "bc", ""]}, {"shards": 2}),
    "one split": (lambda folder: {"train": (X, Y)}, {"split": "train"}),
    "splits": (lambda folder: {"train": (X, Y), "test": (X[:3], Y[:3])}, {"shards": 2}),
    "images": (lambda folder: folder, {"shards": 3, "on_error": "skip"}),
    "images as pixels": (
        lambda folder: folder,
        {"image_format": "raw", "on_error": "skip", "shards": 2},
    ),
    "a table": (table, {"shards": 2}),
}
every_source = pytest.mark.parametrize(("source", "how"), ROWS.values(), ids=ROWS)


@every_source
def test_every_byte_is_that_of_the_local_conversion(tmp_path, folder, source, how):
    told = beam.run(source(folder), tmp_path / "beam", name="d", **how)
    expected = local(source(folder), tmp_path / "local", name="d", **how)
    assert contents(tmp_path / "beam") == contents(tmp_path / "local")
    assert told == expected


@pytest.mark.parametrize("row", ["arrays", "splits", "images"])
def test_what_a_runner_does_twice_changes_nothing(tmp_path, folder, row):
    source, how = ROWS[row]
    beam.run(source(folder), tmp_path / "beam", name="d", options=TWICE, **how)
    local(source(folder), tmp_path / "local", name="d", **how)
    assert contents(tmp_path / "beam") == contents(tmp_path / "local")


def test_rows_that_cannot_be_written_are_named(tmp_path, folder):
    beam.run(folder, tmp_path, name="d", shards=3, on_error="skip")
    (line,) = (tmp_path / "d-train.rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["row"] == "cats/broken.png"


def test_a_row_that_cannot_be_written_ends_it_and_nothing_is_listed(tmp_path, folder):
    with pytest.raises(ValueError, match="cats/broken.png: is no image"):
        beam.run(folder, tmp_path / "new", name="d", shards=3)
    with pytest.raises(ValueError, match=r"`split` of load must be one of \[\]"):
        tfrecord.load(tmp_path / "new")


@pytest.mark.parametrize("convert", [beam.run, local])
def test_a_pipeline_that_failed_can_be_run_again_by_either(tmp_path, folder, convert):
    with pytest.raises(ValueError, match="is no image"):
        beam.run(folder, tmp_path / "again", name="d", shards=3)
    for directory in tmp_path / "again", tmp_path / "once":
        convert(folder, directory, name="d", shards=3, on_error="skip")
    assert contents(tmp_path / "again") == contents(tmp_path / "once")


def test_what_a_local_conversion_has_begun_is_replaced(tmp_path, folder):
    for directory in tmp_path / "begun", tmp_path / "free":
        if directory.name == "begun":
            with pytest.raises(ValueError, match="is no image"):
                tfrecord.convert(folder, directory, name="d", shards=6, workers=1)
            assert b"begun" in (directory / "metadata.json").read_bytes()
        beam.run(folder, directory, name="d", shards=3, on_error="skip")
    assert contents(tmp_path / "begun") == contents(tmp_path / "free")


def test_overwriting_replaces_one_split_and_its_other_files(tmp_path):
    directory = tmp_path / "overwritten"
    for split in "train", "test":
        local((X, Y), directory, name="d", split=split, shards=3)
    beam.run((X[::-1], Y), directory, shards=2, overwrite=True)
    expected = tmp_path / "fresh"
    local((X[::-1], Y), expected, name="d", shards=2)
    local((X, Y), expected, split="test", shards=3)
    records = {n: c for n, c in contents(directory).items() if "tfrecord-" in n}
    assert records == {n: c for n, c in contents(expected).items() if "tfrecord-" in n}


def test_a_split_is_not_listed_while_its_files_are_overwritten(tmp_path, monkeypatch):
    tfrecord.convert((X, Y), tmp_path, name="d", shards=2)
    listed = []

    def write(task, tell):
        listed.append(json.loads((tmp_path / "dataset_info.json").read_text())["splits"])
        raise OSError("broken off")

    monkeypatch.setattr(beam, "write_shard", write)
    with pytest.raises(OSError, match="broken off"):
        beam.run((X, Y), tmp_path, shards=2, overwrite=True)
    assert listed == [[]]


def test_a_pipeline_gets_the_splits_and_counts_the_records(tmp_path):
    pipeline = apache_beam.Pipeline(FnApiRunner())
    transform = beam.ConvertToTFRecord({"train": (X, Y), "test": (X, Y)}, tmp_path)
    told = (
        pipeline | transform | apache_beam.Map(lambda split: (split.name, split.records))
    )
    assert_that(told, equal_to([("train", 7), ("test", 7)]))
    result = pipeline.run()
    result.wait_until_finish()
    size = sum(file.stat().st_size for file in tmp_path.glob("*.tfrecord-*"))
    counters = result.metrics().query()["counters"]
    counted = {each.key.metric.name: each.committed for each in counters}
    assert (counted["records"], counted["bytes"]) == (14, size)


def test_two_splits_in_one_pipeline_leave_each_other_alone(tmp_path):
    with apache_beam.Pipeline(FnApiRunner()) as pipeline:
        for split in "train", "test":
            transform = beam.ConvertToTFRecord((X, Y), tmp_path, split=split)
            pipeline | split >> transform
    for split in "train", "test":
        (batch,) = tfrecord.load(tmp_path, split, batch_size=7).as_numpy_iterator()
        np.testing.assert_array_equal(batch[0], X)


def test_building_a_pipeline_changes_nothing_that_is_there(tmp_path):
    tfrecord.convert((X, Y), tmp_path, name="d")
    before = contents(tmp_path)
    transform = beam.ConvertToTFRecord((Y, X), tmp_path, overwrite=True)
    apache_beam.Pipeline(FnApiRunner()) | transform
    assert contents(tmp_path) == before


def test_files_that_workers_wrote_elsewhere_are_missed(tmp_path, monkeypatch):
    real = beam.write_shard

    def elsewhere(task, tell):
        written = real(task, tell)
        task.path.unlink()
        return written

    monkeypatch.setattr(beam, "write_shard", elsewhere)
    with pytest.raises(ValueError, match="all workers reach under the same path"):
        beam.run((X, Y), tmp_path, name="d")
    with pytest.raises(ValueError, match=r"`split` of load must be one of \[\]"):
        tfrecord.load(tmp_path)


@pytest.mark.parametrize("runner", ["direct", "DirectRunner", "FnApiRunner", None])
def test_the_runner_of_this_process_has_several_names(tmp_path, monkeypatch, runner):
    def run_pipeline(*_):
        raise RuntimeError("here")

    monkeypatch.setattr(FnApiRunner, "run_pipeline", run_pipeline)
    with pytest.raises(RuntimeError, match="here"):
        beam.run({"x": Y}, tmp_path, runner=runner)


OWN = "of which any rows can be had on their own"
REFUSED = [
    (tf.data.Dataset.range(3).map(lambda x: {"x": x}), {}, f"`source` .* one {OWN}"),
    ([{"x": 1}, {"x": 2}], {}, f"`source` of ConvertToTFRecord must be one {OWN}"),
    ({"x": Y}, {"shards": 9}, "`shards` of convert must be at most the number of"),
    ({"x": Y}, {"shards": 0}, "`shards` of convert must be an integer of at least 1"),
    ({"x": Y}, {"on_error": "stop"}, "`on_error` of convert must be one of 'raise'"),
    ({"x": Y}, {"split": "a-b"}, "`split` of convert must be a word of lower-case"),
    ({"x": Y}, {"runner": "NoRunner"}, "Unexpected pipeline runner: NoRunner"),
]


@pytest.mark.parametrize(("source", "how", "sentence"), REFUSED)
def test_bad_arguments_are_refused_before_anything_is_made(
    tmp_path, source, how, sentence
):
    with pytest.raises(ValueError, match=sentence):
        beam.run(source, tmp_path / "new", **how)
    assert not (tmp_path / "new").exists()


def test_an_address_is_refused():
    with pytest.raises(ValueError, match="`directory` of ConvertToTFRecord must be a fo"):
        beam.ConvertToTFRecord({"x": Y}, "gs://bucket/records")


def test_a_split_that_is_there_is_refused_and_stays(tmp_path):
    tfrecord.convert((X, Y), tmp_path, name="d")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="or overwrite=True given"):
        beam.run((X, Y), tmp_path)
    assert contents(tmp_path) == before


def test_more_in_memory_than_travels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(beam, "_MOST", 1000)
    with pytest.raises(ValueError, match="files, or at most 1,000 bytes in memory"):
        beam.ConvertToTFRecord({"x": np.zeros(200)}, tmp_path)


# The package is entered by its part, so that neither Keras nor TensorFlow is loaded.
WITHOUT = """
import sys, types

sys.modules["apache_beam"] = None
package = sys.modules["keras_sched"] = types.ModuleType("keras_sched")
package.__path__ = [sys.argv[1]]
try:
    import keras_sched.tfrecord.beam
except ImportError as error:
    print(error)
"""


def test_the_missing_package_is_named_and_what_to_do():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, os.path.dirname(keras_sched.__file__)],
        capture_output=True,
        text=True,
    )
    told = 'keras_sched.tfrecord.beam needs apache-beam: pip install "keras_sched[beam]"'
    assert done.stdout.strip() == told, done.stderr

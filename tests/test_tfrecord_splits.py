"""How `convert` names what it writes, adds to it, replaces it, and refuses to."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath
from on_disk import contents

from keras_sched import tfrecord

X = np.arange(3)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("cats", "cats"), ("My Cats-2", "my_cats_2"), ("10", "dataset_10")],
)
def test_the_name_is_made_of_the_folders(tmp_path, folder, name):
    tfrecord.convert({"x": np.arange(2)}, tmp_path / "new" / folder)
    (file,) = (tmp_path / "new" / folder).glob("*.tfrecord-*")
    assert file.name == f"{name}-train.tfrecord-00000-of-00001"


def test_a_second_split_takes_the_name_and_leaves_the_first_alone(tmp_path):
    tfrecord.convert({"x": np.arange(5)}, tmp_path, name="cats", shards=2)
    before = contents(tmp_path)
    tfrecord.convert({"x": np.arange(3)}, tmp_path, split="test")
    after = contents(tmp_path)
    same = {name for name in before if after[name] == before[name]}
    assert same == set(before) - {"dataset_info.json", "metadata.json"}
    assert set(after) - set(before) == {"cats-test.tfrecord-00000-of-00001"}
    splits = tfds.builder_from_directory(tmp_path).info.splits
    assert [splits[name].num_examples for name in ("train", "test")] == [5, 3]


def test_overwrite_replaces_one_split_and_removes_its_other_files(tmp_path):
    for split in "train", "test":
        tfrecord.convert({"x": np.arange(6)}, tmp_path, name="d", split=split, shards=3)
    kept = (tmp_path / "d-test.tfrecord-00001-of-00003").read_bytes()
    tfrecord.convert({"x": np.arange(8, 12)}, tmp_path, shards=2, overwrite=True)
    assert sorted(file.name for file in tmp_path.glob("*train*")) == [
        "d-train.tfrecord-00000-of-00002",
        "d-train.tfrecord-00001-of-00002",
    ]
    assert (tmp_path / "d-test.tfrecord-00001-of-00003").read_bytes() == kept
    (batch,) = tfrecord.load(tmp_path, batch_size=4).as_numpy_iterator()
    assert batch["x"].tolist() == [8, 9, 10, 11]


def test_overwriting_the_only_split_may_change_its_fields(tmp_path):
    tfrecord.convert({"x": np.arange(6)}, tmp_path)
    tfrecord.convert({"y": np.arange(4.0)}, tmp_path, overwrite=True)
    (batch,) = tfrecord.load(tmp_path, batch_size=4).as_numpy_iterator()
    assert list(batch) == ["y"]
    assert batch["y"].tolist() == [0.0, 1.0, 2.0, 3.0]


REFUSED = [
    ([1, 2, 3], {}, "`source` of convert must be an iterable of dicts"),
    (5, {}, "`source` of convert must be arrays .*, a tf.data.Dataset, a folder of"),
    ((X, 5), {}, "`source` of convert must be arrays of at least one axis"),
    ({"x": 5}, {}, "`source` of convert must be arrays of at least one axis"),
    ({"x": [[1], 2]}, {}, "`source` of convert must be values of strings, or of arrays"),
    ({"x": ["a", 1]}, {}, "`source` of convert must be values of strings, or of arrays"),
    ({"x": X.astype("longdouble")}, {}, "`source` of convert must be arrays of integ"),
    ({1: X, "x": X}, {}, "`source` of convert must be named by strings without a"),
    (None, {}, "`source` of convert must be arrays .*, a tf.data.Dataset, a folder of"),
    ("none", {}, "`source` of convert must be there, or arrays"),
    ({}, {}, "`source` of convert must be at least one array"),
    ({"x": X, "y": X[1:]}, {}, "`source` of convert must be arrays of one length"),
    ((X, X[1:]), {}, "`source` of convert must be arrays of one length"),
    ({"x": X[:0]}, {}, "`source` of convert must be arrays of one length, not empty"),
    ({"x": [None]}, {}, "`source` of convert must be values of strings, or of arrays"),
    ({"x": X.astype(">i4")}, {}, "booleans or strings, in native byte order"),
    ({"x/y": X}, {}, "`source` of convert must be named by strings without a slash"),
    ({"": X}, {}, "`source` of convert must be named by strings without a slash"),
    ({0: X}, {}, "`source` of convert must be named by strings without a slash"),
    ({"x": X}, {"split": "a-b"}, "`split` of convert must be a word of lower-case"),
    ({"x": X}, {"split": ""}, "`split` of convert must be a word of lower-case"),
    ({"x": X}, {"name": "My-Cats"}, "`name` of convert must be a word of lower-case"),
    ({"x": X}, {"name": "1cat"}, "`name` of convert must be a word of lower-case"),
    ({"x": X}, {"shards": 0}, "`shards` of convert must be an integer of at least 1"),
    ({"x": X}, {"shards": 1.0}, "`shards` of convert must be an integer of at least"),
    ({"x": X}, {"shards": 4}, "`shards` of convert must be at most the number of"),
]


@pytest.mark.parametrize(("source", "how", "sentence"), REFUSED)
def test_bad_arguments_are_refused_before_anything_is_written(
    tmp_path, source, how, sentence
):
    with pytest.raises(ValueError, match=sentence):
        tfrecord.convert(source, tmp_path / "new", **how)
    assert not (tmp_path / "new").exists()


UNFIT = [
    ((X, X), {}, r"`split` of convert must be another than \['test', 'train'\]"),
    (
        (X, X),
        {"split": "new", "name": "dogs"},
        "`name` of convert must be that of the",
    ),
    ((X, X / 2), {"split": "new"}, "`source` of convert must be of the fields the"),
    ({"features": X, "label": X}, {"split": "new"}, "must be of the fields the"),
    ((X / 2, X), {"overwrite": True}, "`source` of convert must be of the fields the"),
]


@pytest.mark.parametrize(("source", "how", "sentence"), UNFIT)
def test_what_does_not_fit_the_other_splits_is_refused_and_changes_nothing(
    tmp_path, source, how, sentence
):
    for split in "train", "test":
        tfrecord.convert((X, X), tmp_path, name="cats", split=split)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        tfrecord.convert(source, tmp_path, **how)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
def test_a_folder_with_somebody_elses_dataset_is_refused(tmp_path, file):
    (tmp_path / file).write_text("{}")
    with pytest.raises(ValueError, match="`directory` .* without a dataset that convert"):
        tfrecord.convert({"x": X}, tmp_path)
    assert contents(tmp_path) == {file: b"{}"}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="`directory` of convert must be a folder, or"):
        tfrecord.convert({"x": X}, tmp_path / "file")


def test_a_folder_of_a_later_version_is_refused_as_such(tmp_path):
    content = json.dumps({"keras_sched": {"version": 2, "files": []}})
    (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(ValueError, match="of version 1, the one this release"):
        tfrecord.load(tmp_path)


def test_a_folder_named_as_a_version_takes_the_name_of_its_parent(tmp_path):
    tfrecord.convert({"x": X}, tmp_path / "my-dogs" / "1.0.0")
    assert tfds.load("my_dogs", data_dir=_parent(tmp_path), split="train").cardinality()


def _parent(folder):
    (folder / "my-dogs").rename(folder / "my_dogs")
    return folder


class NumbersOfATest(tfds.core.GeneratorBasedBuilder):
    """A dataset that TFDS knows by its name, and makes when it is asked for."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = epath.Path(__file__).parent

    def _info(self):
        features = {"n": np.int64, "even": tfds.features.ClassLabel(names=["no", "yes"])}
        features = tfds.features.FeaturesDict(features)
        return self.dataset_info_from_configs(
            features=features, supervised_keys=("n", "even")
        )

    def _split_generators(self, manager):
        splits = {"train": range(7), "test": range(100, 103)}
        return {name: self._generate_examples(rows) for name, rows in splits.items()}

    def _generate_examples(self, rows):
        for number in rows:
            yield number, {"n": number, "even": int(number % 2 == 0)}


def test_a_dataset_that_tfds_knows_by_name_is_made_and_converted(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "tfds"))
    done = tfrecord.convert("tfds:numbers_of_a_test", tmp_path / "records")
    assert {name: split.records for name, split in done.items()} == {
        "test": 3,
        "train": 7,
    }
    for split, rows in (("train", range(7)), ("test", range(100, 103))):
        data = tfrecord.load(tmp_path / "records", split)
        found = sorted((int(n), int(even)) for n, even in data)
        assert found == [(n, 1 - n % 2) for n in rows]
    features = tfds.builder_from_directory(tmp_path / "records").info.features
    assert features["even"].names == ["no", "yes"]

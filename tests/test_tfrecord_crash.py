"""What a conversion leaves that is killed: at every step it takes on the disk."""

import itertools
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from on_disk import KILL_AT, contents

import keras_sched
from keras_sched import _atomic, tfrecord

# Forks for some torn writes, and for each event on the disk to be killed at it. The
# package is entered by its part, so that TensorFlow, whose threads no fork should meet,
# is not loaded.
ENTER = """
import itertools, os, pathlib, resource, signal, sys, types
import numpy as np

package = sys.modules["keras_sched"] = types.ModuleType("keras_sched")
package.__path__ = [sys.argv[2]]
from keras_sched import tfrecord

assert "keras" not in sys.modules
"""
KILLER = """
def convert(directory, first):
    source = {"x": np.arange(first, first + 7), "y": np.full((7, 2), first / 3)}
    tfrecord.convert(source, directory, name="d", shards=3, overwrite=True)


def tear_after(size, directory):
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def killed(prepare, step, directory, overwrite):
    if overwrite:
        convert(directory, first=0)
    if os.fork() == 0:
        prepare(step, directory)
        convert(directory, first=100)
        os._exit(0)
    return os.WIFSIGNALED(os.wait()[1])


for name in "fresh", "overwrite":
    root = pathlib.Path(sys.argv[1]) / name
    for size in 1, 50, 150, 250:
        assert killed(tear_after, size, root / f"torn_{size}", name == "overwrite")
    step = 0
    while killed(kill_at, step, root / str(step), name == "overwrite"):
        step += 1
    (root / str(step)).rename(root / "whole")
"""


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """Returns the folder of what the killed left, and of one that was not killed."""
    root = tmp_path_factory.mktemp("killed")
    package = os.path.dirname(keras_sched.__file__)
    command = [sys.executable, "-c", ENTER + KILL_AT + KILLER, str(root), package]
    subprocess.run(command, check=True, timeout=120)
    return root


every_way = pytest.mark.parametrize("way", ["fresh", "overwrite"])


def killed(left, way):
    return [folder for folder in (left / way).iterdir() if folder.name != "whole"]


def records(directory):
    return {n: c for n, c in contents(directory).items() if n.startswith("d-train.")}


def listed(directory):
    """Returns whether the split is there for `load`, and whether it is for TFDS."""
    try:
        tfrecord.load(directory)
        ours = True
    except ValueError:
        ours = False
    info = directory / "dataset_info.json"
    return ours, info.exists() and bool(json.loads(info.read_text())["splits"])


def old_records(left):
    """Returns the files as they were before the first step of an overwriting."""
    return records(left / "overwrite" / "0")


@every_way
def test_there_are_steps_enough_to_be_killed_at(left, way):
    assert len(killed(left, way)) > 30
    assert len(records(left / way / "whole")) == 3


@every_way
def test_no_file_under_a_final_name_is_not_whole(left, way):
    whole = set(records(left / way / "whole").items())
    if way == "overwrite":
        whole |= old_records(left).items()
    for folder in killed(left, way):
        assert records(folder).items() <= whole


@every_way
def test_a_split_is_listed_only_if_all_its_files_are_of_one_conversion(left, way):
    one = [records(left / way / "whole")] + [old_records(left)] * (way == "overwrite")
    for folder in killed(left, way):
        if any(listed(folder)):
            assert records(folder) in one


@every_way
def test_no_split_is_listed_of_which_some_files_only_are_new(left, way):
    new = records(left / way / "whole").items()
    shares = [(f, len(records(f).items() & new)) for f in killed(left, way)]
    halves = [listed(folder) for folder, share in shares if share in (1, 2)]
    assert len(halves) > 5
    assert set(halves) == {(False, False)}


@every_way
def test_what_was_begun_and_is_not_finished_is_not_called_sound(left, way):
    folders = [f for f in killed(left, way) if (f / "metadata.json").exists()]
    halves = [folder for folder in folders if not any(listed(folder))]
    assert len(halves) > 20
    for folder in halves:
        found = tfrecord.verify(folder)
        assert "train split: is not finished" in str(found)
        assert tfrecord.inspect(folder).begun[0].startswith("train: not finished, ")
    sound = [folder for folder in folders if tfrecord.verify(folder).sound]
    assert all(all(listed(folder)) for folder in sound)


def test_tfds_opens_a_directory_whose_split_was_killed(left):
    folders = [f for f in killed(left, "overwrite") if not any(listed(f))]
    builder = tfds.builder_from_directory(folders[0])
    assert dict(builder.info.splits) == {}


@every_way
def test_converting_again_ends_as_if_nothing_had_been_killed(left, way, tmp_path):
    source = {"x": np.arange(100, 107), "y": np.full((7, 2), 100 / 3)}
    expected = contents(left / way / "whole")
    for folder in killed(left, way):
        again = shutil.copytree(folder, tmp_path / folder.name)
        tfrecord.convert(source, again, name="d", shards=3, overwrite=True)
        assert contents(again) == expected


@pytest.mark.parametrize("write", range(1, 7))
def test_an_overwriting_with_other_fields_broken_off_leaves_what_tfds_reads(
    tmp_path, monkeypatch, write
):
    tfrecord.convert({"x": np.arange(5)}, tmp_path, name="d")
    calls, real = itertools.count(1), _atomic.write_text

    def breaks_off(path, text):
        if next(calls) == write:
            raise OSError("no space left")
        real(path, text)

    monkeypatch.setattr(_atomic, "write_text", breaks_off)
    with pytest.raises(OSError, match="no space left"):
        tfrecord.convert({"y": np.ones(5)}, tmp_path, overwrite=True)
    builder = tfds.builder_from_directory(tmp_path)
    for split in builder.info.splits:
        assert len(list(builder.as_dataset(split=split))) == 5


def test_files_of_a_broken_off_conversion_in_more_shards_are_removed(left, tmp_path):
    for number, folder in enumerate(killed(left, "overwrite")):
        again = shutil.copytree(folder, tmp_path / str(number))
        tfrecord.convert({"x": np.arange(7)}, again, shards=2, overwrite=True)
        assert len(records(again)) == 2

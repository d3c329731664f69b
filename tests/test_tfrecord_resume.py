"""What a conversion in several files is after it was broken off, and what goes on."""

import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types

import numpy as np
import pytest
import tensorflow as tf
from on_disk import KILL_AT, contents
from PIL import Image

import keras_sched
from keras_sched import _atomic, tfrecord
from keras_sched.tfrecord import schema, sources, workers, writer
from keras_sched.tfrecord.sources import base

# The package is entered by its part, so that TensorFlow, whose threads no fork should
# meet, and which takes seconds, is not loaded.
ENTER = f"""
import itertools, json, os, pathlib, resource, shutil, signal, sys, types

package = sys.modules["keras_sched"] = types.ModuleType("keras_sched")
package.__path__ = [{os.path.dirname(keras_sched.__file__)!r}]
from keras_sched import tfrecord

assert "keras" not in sys.modules
"""

PROCESS = """
limit, arguments = json.loads(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # Of jobs it may be ignored.
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
tfrecord.convert(**arguments)
"""

ROWS = """
import numpy as np

def rows(bad=None):
    for number in range(600):
        x = "bad" if number == bad else np.arange(number % 5)
        yield {"x": x, "y": f"row {number}"}
"""

KILLER = """
root = pathlib.Path(sys.argv[1])

def convert(source, directory, **how):
    tfrecord.convert(source, directory, name="d", workers=1, progress=False, **how)

def planned(directory):
    convert(root / "images", directory, shards=4, overwrite=True)

def rolling(directory):
    convert(rows(), directory, shard_bytes=5000)

def killed(write, step, directory):
    if os.fork() == 0:
        kill_at(step, directory)
        write(directory)
        os._exit(0)
    return os.WIFSIGNALED(os.wait()[1])

convert(root / "old_images", root / "old", shards=4)
for way, write in ("planned", planned), ("overwrite", planned), ("rolling", rolling):
    (root / way).mkdir()
    for step in itertools.count(step=3 if way == "overwrite" else 1):
        directory = root / way / str(step)
        if way == "overwrite":
            shutil.copytree(root / "old", directory)
        if not killed(write, step, directory):
            directory.rename(root / way / "whole")
            break
"""

_named = {"np": np}
exec(ROWS, _named)
rows = _named["rows"]


def folder(path, count=12, seed=0, classes="ab"):
    """Makes a folder of folders with images of several sizes; returns its path."""
    draw = np.random.default_rng(seed)
    for number in range(count):
        place = path / classes[number % len(classes)]
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 255, (3 + number % 4, 5), "uint8")
        Image.fromarray(pixels).save(place / f"{number:02d}.png")
    return path


def convert(source, directory, **how):
    """Converts into four files, by one process, if nothing else is said."""
    how = {"shards": 4, "workers": 1, "name": "d", "progress": False} | how
    tfrecord.convert(source, directory, **how)
    return directory


def started(source, directory, limit=None, **how):
    """Starts another process that converts."""
    how = {"shards": 4, "workers": 1, "name": "d", "progress": False} | how
    how |= {"source": str(source), "directory": str(directory)}
    command = [sys.executable, "-c", ENTER + PROCESS, json.dumps([limit, how])]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stderr=pipe, text=True, start_new_session=True)


def inodes(directory):
    """Returns the files that have final names, and which file on the disk each is."""
    return {file.name: file.stat().st_ino for file in shards(directory)}


def shards(directory):
    return sorted(directory.glob("d-train.tfrecord-*-of-[0-9]????"))


def records(directory):
    return {n: c for n, c in contents(directory).items() if n.startswith("d-train.")}


def listed(directory):
    """Returns whether the split is there for `load`, and whether it is for TFDS."""
    ours, info = directory / "metadata.json", directory / "dataset_info.json"
    ours = ours.exists() and json.loads(ours.read_text())["keras_sched"]["splits"]
    return bool(ours), info.exists() and bool(json.loads(info.read_text())["splits"])


def same(directory, before):
    """Returns the numbers of the files that have not been written again."""
    return {
        int(name[-14:-9])
        for name, inode in inodes(directory).items()
        if before.get(name) == inode
    }


def images_of(source, directory, number):
    """Returns the paths of the images that one of the files holds."""
    content = shards(directory)[number].read_bytes()
    paths = sorted(source.glob("*/*.png"))
    return [p for p in paths if p.relative_to(source).as_posix().encode() in content]


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


# Killed at every step on the disk.


@pytest.fixture(scope="module")
def left():
    """Gives the folder of what the killed left, and of one that was not killed."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # It flushes often.
    with tempfile.TemporaryDirectory(dir=memory) as root:
        yield _left(pathlib.Path(root))


def _left(root):
    folder(root / "images", seed=1)
    folder(root / "old_images", seed=2)
    command = [sys.executable, "-c", ENTER + ROWS + KILL_AT + KILLER, str(root)]
    subprocess.run(command, check=True, timeout=120)
    return root


@pytest.fixture(scope="module")
def again(left):
    """Returns, by way, what each of the killed left, and what it is after going on."""
    return {
        "planned": _again(left, "planned", left / "images"),
        "overwrite": _again(left, "overwrite", left / "images"),
        "rolling": _again(left, "rolling", rows, shards=None, shard_bytes=5000),
    }


def _again(left, way, source, **how):
    cases = []
    for directory in (left / way).iterdir():
        if directory.name == "whole":
            continue
        case = types.SimpleNamespace(
            before=contents(directory), inodes=inodes(directory), listed=listed(directory)
        )
        finished = case.listed[0] and way != "overwrite"
        if not finished:
            given = source() if callable(source) else source
            convert(given, directory, overwrite=way == "overwrite", **how)
        case.after, case.kept = contents(directory), same(directory, case.inodes)
        cases.append(case)
    return cases


every_way = pytest.mark.parametrize("way", ["planned", "overwrite", "rolling"])


def only_records(files):
    return {n: c for n, c in files.items() if n.startswith("d-train.")}


@every_way
def test_there_are_steps_enough_to_be_killed_at(left, again, way):
    assert len(again[way]) > 30
    assert len(shards(left / way / "whole")) == (3 if way == "rolling" else 4)


@every_way
def test_no_file_under_a_final_name_is_not_whole(left, again, way):
    whole = set(records(left / way / "whole").items())
    whole |= records(left / "old").items() if way == "overwrite" else set()
    for case in again[way]:
        assert only_records(case.before).items() <= whole


@every_way
def test_a_split_is_listed_only_if_all_its_files_are_of_one_conversion(left, again, way):
    one = [records(left / way / "whole")]
    one += [records(left / "old")] if way == "overwrite" else []
    for case in again[way]:
        if any(case.listed):
            assert only_records(case.before) in one


@every_way
def test_what_was_begun_and_is_not_finished_says_so_from_the_first_claim(
    left, again, way
):
    claimed = [case for case in again[way] if "metadata.json" in case.before]
    halves = [case for case in claimed if not any(case.listed)]
    assert len(halves) > 10
    for case in halves:
        said = json.loads(case.before["metadata.json"])["keras_sched"]
        assert list(said["begun"]) == ["train"]


@every_way
def test_the_same_call_again_ends_as_if_nothing_had_been_killed(left, again, way):
    expected = contents(left / way / "whole")
    for case in again[way]:
        assert case.after == expected


@pytest.mark.parametrize("way", ["planned", "overwrite"])
def test_files_finished_before_the_kill_are_not_written_again(left, again, way):
    whole, total = records(left / way / "whole"), 0
    for case in again[way]:
        if not case.listed[0]:
            new = {n for n in case.inodes if case.before[n] == whole[n]}
            total += len(case.kept)
            assert len(case.kept) >= len(new) - 1  # It knows of all but the very last.
    assert total > 30


@every_way
def test_another_number_of_files_leaves_nothing_of_the_first(left, again, way, tmp_path):
    expected = contents(convert(left / "images", tmp_path / "whole", shards=2))
    cases = again[way][::5] + [case for case in again[way] if hidden(case)][:5]
    assert any(map(hidden, cases))
    for number, case in enumerate(cases):
        directory = laid_out(case.before, tmp_path / str(number))
        convert(left / "images", directory, shards=2, overwrite=True)
        assert contents(directory) == expected


def hidden(case):
    return [name for name in case.before if name.startswith(".")]


def laid_out(files, directory):
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def test_a_split_tfds_has_already_is_not_listed_while_other_rows_replace_it(
    left, again, tmp_path
):
    halves = [case for case in again["planned"] if case.listed == (False, True)]
    assert halves
    source = folder(tmp_path / "images", seed=3)
    whole = convert(source, tmp_path / "whole")
    for number, case in enumerate(halves):
        directory = laid_out(case.before, tmp_path / str(number))
        broken_off(source, directory, whole)
        assert 0 < len(records(directory).items() & records(whole).items()) < 8
        assert listed(directory) == (False, False)


# Broken off by an image that is none, in the last file.


def broken_off(source, directory, whole, **how):
    """Converts a folder, of which the last file cannot be written yet."""
    last = images_of(source, whole, 3)[0]
    content = last.read_bytes()
    last.write_bytes(b"no image")
    with pytest.raises(ValueError, match="is no image"):
        convert(source, directory, **how)
    last.write_bytes(content)
    return inodes(directory)


@pytest.fixture
def half(tmp_path):
    """Returns a folder of images, whole records of it, those of half, and their files."""
    source = folder(tmp_path / "images")
    whole = convert(source, tmp_path / "whole")
    before = broken_off(source, tmp_path / "half", whole)
    assert len(before) == 3
    return types.SimpleNamespace(
        source=source, whole=whole, directory=tmp_path / "half", before=before
    )


def is_as_fresh(half, source=None, **how):
    """Goes on, and returns whether it ends as if nothing had been there."""
    source = source or half.source
    convert(source, half.directory, **how)
    fresh = convert(source, half.directory.with_name("fresh"), **how)
    return contents(half.directory) == contents(fresh)


def other_pixels(path):
    Image.fromarray(np.full((9, 9), 7, "uint8")).save(path)


def only_later(path):
    os.utime(path, ns=(0, 12345))


def other_pixels_of_the_same_time(path):
    state = path.stat()
    other_pixels(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def other_bytes_of_the_same_size(path):
    content, state = path.read_bytes(), path.stat()
    chunk = content.index(b"IDAT") + 8
    path.write_bytes(content[:chunk] + bytes([content[chunk] ^ 1]) + content[chunk + 1 :])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))


CHANGES = [
    other_pixels,
    only_later,
    other_pixels_of_the_same_time,
    other_bytes_of_the_same_size,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("number", range(3))
def test_an_image_that_has_changed_is_written_anew_with_its_file_alone(
    half, change, number
):
    change(images_of(half.source, half.whole, number)[1])
    assert is_as_fresh(half)
    assert same(half.directory, half.before) == {0, 1, 2} - {number}


def moved_to_another_class(half):
    path = next(half.source.glob("a/*.png"))
    path.rename(half.source / "b" / path.name)


def one_less(half):
    next(half.source.glob("a/*.png")).unlink()


def one_more(half):
    other_pixels(half.source / "b" / "more.png")


def a_class_more(half):
    (half.source / "c").mkdir()
    other_pixels(half.source / "c" / "more.png")


def a_class_less(half):
    shutil.rmtree(half.source / "a")


def a_class_of_another_name(half):
    (half.source / "a").rename(half.source / "z")


OTHER_ROWS = [
    moved_to_another_class,
    one_less,
    one_more,
    a_class_more,
    a_class_less,
    a_class_of_another_name,
]


@pytest.mark.parametrize("change", OTHER_ROWS)
def test_a_folder_of_other_rows_ends_as_if_nothing_had_been_there(half, change):
    change(half)
    assert is_as_fresh(half)


HOWS = [
    {"index": True},
    {"image_format": "bmp"},
    {"image_format": "raw"},
    {"on_error": "skip"},
    {"workers": 3},
    {"shards": 3},
    {"shards": 5},
    {"shards": None},
]


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_going_on_in_another_way_ends_as_if_nothing_had_been_there(half, how):
    assert is_as_fresh(half, **how)


def test_what_has_not_changed_is_not_written_again(half):
    assert is_as_fresh(half)
    assert same(half.directory, half.before) == {0, 1, 2}


def test_without_resume_everything_is_written_again(half):
    assert is_as_fresh(half, resume=False)
    assert same(half.directory, half.before) == set()


def test_a_file_that_is_damaged_meanwhile_is_written_again(half):
    damaged = shards(half.directory)[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert is_as_fresh(half)
    assert same(half.directory, half.before) >= {0, 2}


def test_an_index_that_is_lost_meanwhile_is_written_again(half):
    (half.directory / f"{shards(half.directory)[1].name}.idx").unlink()
    assert is_as_fresh(half)


def test_a_source_of_several_splits_goes_on_where_it_was_broken_off(tmp_path):
    train = folder(tmp_path / "images")
    source = {"train": train, "test": folder(tmp_path / "more_images", seed=4)}
    whole = convert(source, tmp_path / "whole")
    last = next(source["test"].glob("*/*.png"))
    content = last.read_bytes()
    last.write_bytes(b"no image")
    with pytest.raises(ValueError, match="is no image"):
        convert(source, tmp_path / "half")
    last.write_bytes(content)
    before = inodes(tmp_path / "half")
    assert len(before) == 4
    convert(source, tmp_path / "half")
    assert contents(tmp_path / "half") == contents(whole)
    assert same(tmp_path / "half", before) == {0, 1, 2, 3}


def test_a_row_that_was_skipped_is_refused_by_a_call_that_skips_none(tmp_path):
    source = folder(tmp_path / "images")
    whole = convert(source, tmp_path / "whole")
    images_of(source, whole, 0)[0].write_bytes(b"no image")
    stop_in_file(3, source, tmp_path / "half", whole, on_error="skip")
    with pytest.raises(ValueError, match="is no image"):
        convert(source, tmp_path / "half", on_error="raise")


def test_rows_skipped_before_it_was_broken_off_are_told_in_the_end(tmp_path):
    source = folder(tmp_path / "images")
    whole = convert(source, tmp_path / "whole")
    images_of(source, whole, 0)[0].write_bytes(b"no image")
    before = stop_in_file(3, source, tmp_path / "half", whole, on_error="skip")
    convert(source, tmp_path / "half", on_error="skip")
    fresh = convert(source, tmp_path / "fresh", on_error="skip")
    assert contents(tmp_path / "half") == contents(fresh)
    assert "d-train.rejects.jsonl" in contents(fresh)
    assert same(tmp_path / "half", before) == {0, 1, 2}


def test_a_label_changed_in_a_csv_is_written_anew_with_its_file_alone(tmp_path):
    paths = sorted(folder(tmp_path / "images").glob("*/*.png"))
    lines = ["image,label", *(f"{path},{path.parent.name}" for path in paths)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    content = paths[11].read_bytes()
    paths[11].write_bytes(b"no image")
    with pytest.raises(ValueError, match="is no image"):
        convert(table, tmp_path / "half")
    paths[11].write_bytes(content)
    before = inodes(tmp_path / "half")
    lines[5] = f"{paths[4]},b"
    table.write_text("\n".join(lines))
    convert(table, tmp_path / "half")
    assert contents(tmp_path / "half") == contents(convert(table, tmp_path / "fresh"))
    assert same(tmp_path / "half", before) == {0, 2}


# Arrays, broken off by a disk that is full.


def full_after(monkeypatch, files):
    """Lets the disk be full after so many files."""
    usage = shutil.disk_usage("/")
    sizes = itertools.chain([10**9] * files, itertools.repeat(0))
    full = lambda path: usage._replace(free=next(sizes))  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", full)


def values():
    words = ["a()", "b", "c()", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
    return {"x": np.arange(12) * 10, "y": words}


def other_number(arrays):
    arrays["x"][4] = 41


def other_word(arrays):
    arrays["y"][4] = "E"


def letters_in_another_row(arrays):
    arrays["y"][:2] = ["a", "()b"]


ARRAY_CHANGES = [
    (other_number, {0, 2}),
    (other_word, {0, 2}),
    (letters_in_another_row, {1, 2}),
    (lambda arrays: None, {0, 1, 2}),
]


@pytest.mark.parametrize("change, kept", ARRAY_CHANGES)
def test_arrays_that_have_changed_are_written_anew(tmp_path, monkeypatch, change, kept):
    arrays, directory = values(), tmp_path / "half"
    with monkeypatch.context() as patch:
        full_after(patch, 3)
        with pytest.raises(OSError, match="No space left"):
            convert(arrays, directory)
    before = inodes(directory)
    assert len(before) == 3
    change(arrays)
    assert contents(convert(arrays, directory)) == contents(
        convert(arrays, tmp_path / "fresh")
    )
    assert same(directory, before) == kept


def test_going_on_with_an_index_ends_as_if_nothing_had_been_there(tmp_path, monkeypatch):
    arrays = {"x": np.arange(12)}
    with monkeypatch.context() as patch:
        full_after(patch, 2)
        with pytest.raises(OSError, match="No space left"):
            convert(arrays, tmp_path / "half")
    half = convert(arrays, tmp_path / "half", index=True)
    assert contents(half) == contents(convert(arrays, tmp_path / "fresh", index=True))


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    full_after(monkeypatch, 0)
    with pytest.raises(OSError, match="MB are to be written, and 0 are free"):
        convert(values(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_disk_that_fills_leaves_whole_files_and_says_so(tmp_path, monkeypatch):
    whole = records(convert(values(), tmp_path / "whole"))
    full_after(monkeypatch, 2)
    with pytest.raises(OSError, match="whole are kept, and converting again goes on"):
        convert(values(), tmp_path / "half")
    assert len(shards(tmp_path / "half")) == 2
    assert records(tmp_path / "half").items() <= whole.items()
    assert listed(tmp_path / "half") == (False, False)


def test_going_on_needs_room_for_what_is_left_alone(half, monkeypatch):
    size = sum(path.stat().st_size + 200 for path in half.source.glob("*/*.png"))
    usage = shutil.disk_usage("/")._replace(free=size // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert convert(half.source, half.directory)
    assert contents(half.directory) == contents(half.whole)


@pytest.mark.parametrize("many", [1, 2])
def test_a_file_too_long_for_the_disk_ends_it_in_one_sentence(tmp_path, many):
    source = folder(tmp_path / "images")
    path = images_of(source, convert(source, tmp_path / "small"), 2)[0]
    pixels = np.random.default_rng(0).integers(0, 255, (200, 200), "uint8")
    Image.fromarray(pixels).save(path)
    whole = convert(source, tmp_path / "whole")
    half = tmp_path / "half"
    process = started(source, half, limit=20_000, workers=many)
    *_, last = process.communicate(timeout=20)[1].splitlines()
    assert last.startswith("OSError: [Errno 27] File too large; files that are whole")
    before = inodes(half)
    assert records(half).items() <= records(whole).items()
    assert before
    assert shards(whole)[2].name not in before
    assert contents(convert(source, half)) == contents(whole)
    assert len(same(half, before)) >= len(before) - (many > 1)


# Stopped at a file that gives no bytes until it is asked, or killed, from outside.


@pytest.fixture
def stuck():
    """Returns a function that makes images wait to be read; after it, they are back."""
    waiting = {}

    def wait(path):
        waiting[path] = path.read_bytes(), path.stat()
        path.unlink()
        os.mkfifo(path)

    def free():
        for path, (content, state) in waiting.items():
            path.unlink()
            path.write_bytes(content)
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        waiting.clear()

    return types.SimpleNamespace(wait=wait, free=free)


def at_work(directory, number):
    """Returns the processes that write one of the files."""
    paths = directory.glob(f".d-train~*.tmp.tfrecord-{number:05}*")
    return [int(path.name.split("~")[1].split(".")[0].split("-")[-1]) for path in paths]


def known(directory, count):
    """Returns whether a directory tells, for a second run, of so many files."""
    metadata = directory / "metadata.json"
    text = metadata.read_text() if metadata.exists() else ""
    return sum(f'"{path.name}"' in text for path in shards(directory)) >= count


def stop_in_file(number, source, directory, whole, **how):
    """Kills a conversion while it writes that file; returns the files before it."""
    path = images_of(source, whole, number)[-1]
    content, state = path.read_bytes(), path.stat()
    path.unlink()
    os.mkfifo(path)
    process = started(source, directory, **how)
    until(lambda: known(directory, number) and at_work(directory, number))
    process.kill()
    process.communicate()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    return inodes(directory)


@pytest.fixture
def twelve(tmp_path):
    """Returns a folder of twelve images, their records in four files, and a free name."""
    source = folder(tmp_path / "images")
    whole = convert(source, tmp_path / "whole")
    return types.SimpleNamespace(source=source, whole=whole, directory=tmp_path / "half")


@pytest.mark.parametrize("many, finished", [(1, 2), (2, 3)])
def test_ctrl_c_keeps_what_is_finished(twelve, stuck, many, finished):
    stuck.wait(images_of(twelve.source, twelve.whole, 2)[1])
    process = started(twelve.source, twelve.directory, workers=many)
    until(lambda: known(twelve.directory, finished) and at_work(twelve.directory, 2))
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=5)[1]
    assert process.returncode == -signal.SIGINT
    assert told.splitlines()[-1] == "KeyboardInterrupt"
    assert told.count("KeyboardInterrupt") == 1  # The workers keep silent.
    assert gone(*at_work(twelve.directory, 2))
    before = inodes(twelve.directory)
    stuck.free()
    convert(twelve.source, twelve.directory)
    assert len(before) == len(same(twelve.directory, before)) == finished
    assert contents(twelve.directory) == contents(twelve.whole)


def test_a_killed_worker_is_told_of_at_once_and_the_next_call_goes_on(twelve, stuck):
    stuck.wait(images_of(twelve.source, twelve.whole, 1)[0])
    stuck.wait(images_of(twelve.source, twelve.whole, 3)[0])
    directory = twelve.directory
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(convert, twelve.source, directory, workers=2)
        until(lambda: known(directory, 2) and all(at_work(directory, n) for n in (1, 3)))
        (killed,), (other,) = at_work(directory, 1), at_work(directory, 3)
        os.kill(killed, signal.SIGKILL)
        error = running.exception(timeout=10)
    assert type(error) is RuntimeError
    assert "d-train.tfrecord-00001-of-00004 ended with code -9" in str(error)
    assert gone(killed, other)
    before = inodes(directory)
    stuck.free()
    convert(twelve.source, directory, workers=2)
    assert same(directory, before) == {0, 2}
    assert contents(directory) == contents(twelve.whole)


def test_a_worker_that_ends_before_it_has_its_task_is_told_of_alike(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    arrays = {"x": np.zeros((4, 2**20))}  # More than a pipe holds.
    with pytest.raises(RuntimeError, match="tfrecord-0000[0-3]-of-00004 ended with"):
        convert(arrays, tmp_path / "new", workers=2)


def children(process):
    """Returns the processes that a process has started."""
    tasks = pathlib.Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def gone(*processes):
    """Returns whether all have ended; those nobody has waited for, too."""
    for process in processes:
        try:
            state = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state.split()[0] not in "ZX":
            return False
    return True


def killed_at_random(process):
    """Kills a process some time after it has started two workers."""
    until(lambda: len(children(process.pid)) == 2)
    time.sleep(random.uniform(0, 0.3))
    there = children(process.pid)
    process.kill()
    assert process.communicate()[1] == ""
    assert process.returncode == -signal.SIGKILL
    assert len(there) == 2
    until(lambda: gone(*there), seconds=10)


@pytest.mark.parametrize("overwrite", [False, True])
def test_random_kills_of_two_workers_end_as_one_that_was_let_alone(
    tmp_path, stuck, overwrite
):
    source, directory = folder(tmp_path / "images", 60), tmp_path / "records"
    whole = convert(source, tmp_path / "whole", shards=12)
    new, old = records(whole), {}
    if overwrite:
        convert(folder(tmp_path / "old", 60, seed=2), directory, shards=12)
        old = records(directory)
    how = {"shards": 12, "workers": 2, "overwrite": overwrite}
    for file in 5, 11:  # However fast, none comes to its end, and two have work.
        stuck.wait(images_of(source, whole, file)[0])
    for _ in range(4):
        killed_at_random(started(source, directory, **how))
        if any(listed(directory)):
            assert records(directory) == old
    stuck.free()
    convert(source, directory, **how)
    assert records(directory) == new
    assert contents(directory) == contents(whole)


# Alone in a directory.


def test_a_second_conversion_is_refused_while_the_first_goes_on(twelve, stuck):
    stuck.wait(images_of(twelve.source, twelve.whole, 0)[0])
    process = started(twelve.source, twelve.directory)
    until(lambda: at_work(twelve.directory, 0))
    before = contents(twelve.directory)
    with pytest.raises(ValueError, match="one that no other process converts into"):
        convert(values(), twelve.directory, split="test")
    assert contents(twelve.directory) == before
    process.kill()
    process.communicate()
    stuck.free()
    convert(twelve.source, twelve.directory)
    assert contents(twelve.directory) == contents(twelve.whole)


def test_a_directory_is_free_again_when_it_is_let_go(tmp_path):
    with _atomic.alone(tmp_path) as held:
        assert held
        with pytest.raises(ValueError, match="no other process"):
            convert(values(), tmp_path)
        assert contents(tmp_path) == {}
    assert len(shards(convert(values(), tmp_path))) == 4


def test_a_split_that_another_finished_during_the_planning_is_kept(tmp_path):
    def slow():
        convert(values(), tmp_path, split="test")
        yield from ({"x": 10 * number, "y": "z"} for number in range(5))

    with contextlib.suppress(ValueError):  # It may be refused.
        convert(slow(), tmp_path, shards=None)
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert "test" in [split["name"] for split in info["splits"]]
    assert len(list(tfrecord.load(tmp_path, split="test", batch_size=None))) == 12


# One content, whoever writes it.


@pytest.mark.parametrize("many, form", [(2, "keep"), (3, "webp"), (2, "raw")])
def test_the_files_do_not_depend_on_how_many_write_them(tmp_path, many, form):
    source = folder(tmp_path / "images")
    how = {"shards": 5, "image_format": form}
    one = convert(source, tmp_path / "one", workers=1, **how)
    several = convert(source, tmp_path / "several", workers=many, **how)
    assert contents(several) == contents(one)


def elements(bad=None):
    signature = {"x": tf.TensorSpec((None,), "int64"), "y": tf.TensorSpec((), "string")}
    return tf.data.Dataset.from_generator(lambda: rows(bad), output_signature=signature)


def numbers(bad=None):
    check = tf.debugging.assert_none_equal
    data = tf.data.Dataset.range(600)
    return data if bad is None else data.map(lambda x: (check(x, np.int64(bad)), x)[1])


STREAMS = [
    (rows, {"shards": None, "shard_bytes": 1000}),
    (lambda bad=None: list(rows(bad)), {"shards": 5}),
    (elements, {"shards": None, "shard_bytes": 1000}),
    (numbers, {"shards": 5}),
]


@pytest.mark.parametrize("stream, how", STREAMS)
def test_a_stream_gives_the_same_files_twice(tmp_path, stream, how):
    one = convert(stream(), tmp_path / "one", **how)
    two = convert(stream(), tmp_path / "two", **how | {"workers": 3})
    assert len(shards(one)) >= 3
    assert contents(one) == contents(two)


@pytest.mark.parametrize("stream, how", STREAMS)
def test_a_stream_broken_off_leaves_nothing_listed_and_goes_on(tmp_path, stream, how):
    one = convert(stream(), tmp_path / "one", **how)
    with pytest.raises((ValueError, tf.errors.OpError), match="bad|!="):
        convert(stream(bad=550), tmp_path / "two", **how)
    assert listed(tmp_path / "two") == (False, False)
    assert contents(convert(stream(), tmp_path / "two", **how)) == contents(one)


# Workers.

MODULE = """
import os, sys

class Telling:
    def pieces(self):
        from keras_sched.tfrecord.sources.base import Names, Piece

        loaded = sorted({"keras", "tensorflow"} & set(sys.modules))
        texts = ["loaded: " + " ".join(loaded), f"process: {os.getpid()}"]
        yield Piece({"x": texts}, Names("row"))
"""


def test_workers_are_other_processes_that_load_neither_keras_nor_tensorflow(
    tmp_path, monkeypatch
):
    (tmp_path / "telling.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import telling

    fields = (schema.Field("x", "string", (), "bytes"),)
    paths = [tmp_path / "one", tmp_path / "two"]
    tasks = [writer.Task(path, fields, telling.Telling()) for path in paths]
    assert len(list(workers.write(tasks, 2))) == len(paths)
    assert {"keras", "tensorflow"} <= set(sys.modules)
    for path in paths:
        assert b"loaded: " in path.read_bytes()
        assert f"process: {os.getpid()}".encode() not in path.read_bytes()
        for name in b"keras", b"tensorflow":
            assert name not in path.read_bytes()


SCRIPT = """
import sys

from keras_sched import tfrecord

source, directory = sys.argv[1:]
print("here")
print(tfrecord.convert(source, directory, name="d", shards=4, workers=2))
"""


def test_a_script_needs_no_guard(twelve, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", twelve.source, twelve.directory]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert told.stdout.startswith(b"here\ntrain: 12 records, ")
    assert told.stdout.count(b"here") == 1
    assert contents(twelve.directory) == contents(twelve.whole)


def test_a_row_of_a_stream_has_its_name_however_many_files_are_before_it():
    names = base.Names("row")
    stream = sources.Stream([base.Piece({"x": [b"a"] * 3000}, names)])
    for number in range(3000):
        assert stream.more()
        piece = stream.take(1)
        assert piece.rows[0] == f"row {number}"
    assert not stream.more()

"""A run goes on as if nothing had been, whatever happens on the disk, and whenever."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "crash"))
import faults
import judge
import table

# A way to keep a run that looks atomic, and has a moment without any file.
CARELESS = """
import os
import keras
import small_run

class RemovesFirst(keras.callbacks.Callback):
    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        last, new = self.folder / "last.keras", self.folder / "new.keras"
        last.unlink(missing_ok=True)
        self.model.save(new)
        os.rename(new, last)

def careless(folder):
    folder.mkdir(exist_ok=True)
    model, done, _ = small_run.model_checkpoint(folder)
    return model, done, [RemovesFirst(folder)]

small_run.WAYS["careless"] = careless
"""


# What HDF5 does to a disk by itself, and the layer in Python does not see.
compiled = pytest.mark.skipif(not shutil.which("cc"), reason="nothing compiles C here")


@pytest.fixture(scope="module")
def bench():
    with judge.bench(prepare=CARELESS) as bench:
        yield bench


def harmed(points):
    """Returns of the points what was lost there, or left that nothing uses."""
    found = [point for point in points if point.lost or point.litter]
    return [(p.kind, p.number, p.ended, p.torn, p.verdict, p.litter) for p in found]


@pytest.mark.parametrize("kind, least", [("kill", 20), ("tear", 10)])
def test_a_run_killed_at_any_operation_of_a_save_goes_on_as_if_not(bench, kind, least):
    points = bench.points("ours", "overwriting", kind)
    assert len(points) >= least
    assert harmed(points) == []


@pytest.mark.parametrize("kind, every", [("kill", 21), ("tear", 13)])
def test_a_run_killed_at_any_time_goes_on_as_if_not(bench, kind, every):
    points = bench.points("ours", "whole", kind, every)
    assert len(points) >= 3
    assert harmed(points) == []


@pytest.mark.parametrize("kind, every", [("full", 17), ("sync", 4)])
def test_a_disk_that_fails_is_told_of_and_loses_nothing(bench, kind, every):
    points = bench.points("ours", "whole", kind, every)
    points += bench.points("ours", "overwriting", kind, every)
    assert len(points) >= 4
    assert harmed(points) == []
    assert {point.ended for point in points} == {"OSError"}


@compiled
def test_a_state_that_is_lost_or_wrong_is_found(bench):
    points = bench.points("BackupAndRestore", "overwriting", "kill", every=4)
    assert {"could not go on", "ended wrong"} <= {point.verdict for point in points}


def test_epochs_that_are_lost_are_found_though_the_end_is_right(bench):
    points = bench.points("careless", "overwriting", "kill", every=6)
    assert {"right", "lost epochs"} == {point.verdict for point in points}


def test_a_model_that_is_torn_is_found_though_the_run_goes_on(bench):
    points = bench.points("ModelCheckpoint", "overwriting", "tear", every=4)
    torn = [point.torn for point in points if point.verdict == "right"]
    assert ["best.keras"] in torn


@compiled
def test_an_end_that_is_no_clean_error_is_found(bench):
    points = bench.points("BackupAndRestore", "overwriting", "full", every=8)
    assert not all(point.clean for point in points)


def test_every_file_is_flushed_before_it_is_renamed_and_its_folder_after(bench):
    operations = bench.operations("ours", "whole")
    names = [os.path.basename(o.target) for o in operations if o.name == "rename"]
    assert names.count("best.keras") == names.count("last.keras") == 3
    late = set(not_flushed(operations))  # The flush of the next one takes it along.
    assert late <= {"previous.keras"}


def test_a_rename_that_is_not_flushed_is_found(bench):
    operations = bench.operations("careless", "whole")
    assert not_flushed(operations) == ["new.keras", "last.keras"] * 3


def not_flushed(operations):
    """Returns the names of files whose bytes, or new names, a power cut can take."""
    found, written, named = [], set(), {}
    for name, path, target in [*operations, faults.Operation("open", "", "")]:
        if name == "write":
            written.add(path)
        if name in ("open", "rename"):
            found += [os.path.basename(file) for file in named]
            named.clear()
        if name == "fsync":
            written.discard(path)
            named = {file: at for file, at in named.items() if at != path}
        if name == "link" and path in written:
            written.add(target)
        if name == "rename":
            found += [os.path.basename(path)] * (path in written)
            named[target] = os.path.dirname(target)
    return found


@pytest.mark.parametrize("kind, every", [("kill", 12), ("tear", 7), ("full", 11)])
def test_the_layer_in_python_says_the_same_of_ours(bench, kind, every):
    points = bench.points("ours", "overwriting", kind, every, "python")
    assert len(points) >= 2
    assert harmed(points) == []


def test_the_layer_in_python_finds_what_is_lost(bench):
    points = bench.points("ModelCheckpoint", "overwriting", "tear", 5, "python")
    assert "could not go on" in {point.verdict for point in points}


# One of each operation, and what it says of the first that fails.
PROGRAM = """
import os, pathlib, shutil, sys
import faults

folder, kind, at = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
(folder / "old").write_text("0123456789")
faults.arm(folder, kind, at, folder.with_name("log"), sys.argv[4])
folder.with_name("elsewhere").write_text("not counted")
try:
    text = (folder / "old").read_text()
    (folder / "old").write_text(text + "abcdefghij")
    with open(folder / "new", "w+b") as file:
        file.write(b"0123456789")
        file.flush()
        os.fsync(file)
        file.truncate(4)
    os.link(folder / "new", folder / "second")
    os.symlink("new", folder / "third")
    os.replace(folder / "second", folder / "old")
    os.rename(folder / "old", folder / "renamed")
    os.mkdir(folder / "under")
    descriptor = os.open(folder / "under" / "file", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"0123456789")
    os.pwrite(descriptor, b"abcdefghij", 10)
    os.writev(descriptor, [b"01234", b"56789"])
    os.fdatasync(descriptor)
    os.ftruncate(descriptor, 3)
    os.close(descriptor)
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    shutil.rmtree(folder / "under")
    os.unlink(folder / "third")
    shutil.copyfile(folder / "renamed", folder / "copy")
except OSError as error:
    print(error.errno)
"""
OPERATIONS = """
open old, write old, close old,
open new, write new, fsync new, truncate new, close new,
link new second, link third, rename second old, rename old renamed,
mkdir under, open under/file, write under/file, write under/file, write under/file,
fsync under/file, truncate under/file, close under/file, fsync .,
unlink under/file, unlink under, unlink third,
open copy, write copy, write copy, close copy
"""
LISTED = [tuple(words.split()) for words in OPERATIONS.split(",")]
every_layer = pytest.mark.parametrize("layer", faults.LAYERS)


def run_program(layer, folder, kind="none", at=0):
    """Returns what the program says or was killed by, and which operations it began."""
    if layer not in faults.available():
        pytest.skip("nothing compiles C here")
    folder.mkdir()
    found = os.environ | faults.environment()
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, str(folder), kind, str(at), layer],
        env=found | {"PYTHONPATH": os.path.dirname(faults.__file__)},
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    begun = faults.operations(folder.with_name("log"))
    return done.stdout.strip() or done.returncode, [listed(o, folder) for o in begun]


def listed(operation, folder):
    paths = [path for path in operation[1:] if path]
    return operation.name, *(os.path.relpath(path, folder) for path in paths)


@every_layer
def test_a_layer_counts_every_operation_in_the_folder_and_no_other(layer, tmp_path):
    assert run_program(layer, tmp_path / "run") == (0, LISTED)


@every_layer
@pytest.mark.parametrize(
    "at, name, left",
    [
        (1, "old", "0123456789"),
        (2, "old", ""),
        (11, "old", "0123456789abcdefghij"),
        (12, "old", "0123"),
        (13, "renamed", "0123"),
        (22, "under/file", "012"),
    ],
)
def test_a_layer_kills_before_the_operation(layer, at, name, left, tmp_path):
    died = run_program(layer, tmp_path / "run", "kill", at)
    assert died == (-signal.SIGKILL, LISTED[:at])
    assert (tmp_path / "run" / name).read_text() == left


@every_layer
@pytest.mark.parametrize(
    "at, name, left",
    [
        (2, "old", "0123456789"),
        (3, "old", "0123456789abcdefghij"),
        (5, "new", "01234"),
        (15, "under/file", "01234"),
        (16, "under/file", "0123456789abcde"),
        (26, "copy", "01"),
    ],
)
def test_a_layer_tears_a_write_in_the_middle(layer, at, name, left, tmp_path):
    died = run_program(layer, tmp_path / "run", "tear", at)
    assert died == (-signal.SIGKILL, LISTED[:at])
    assert (tmp_path / "run" / name).read_text() == left


@every_layer
@pytest.mark.parametrize("at, first", [(1, 2), (3, 4), (6, 9), (12, 12), (13, 13)])
def test_a_layer_fills_the_disk(layer, at, first, tmp_path):
    told, begun = run_program(layer, tmp_path / "run", "full", at)
    assert (told, begun[first - 1]) == (str(errno.ENOSPC), LISTED[first - 1])


@every_layer
@pytest.mark.parametrize("at, first", [(1, 6), (7, 18), (19, 21)])
def test_a_layer_lets_no_flush_succeed(layer, at, first, tmp_path):
    told, begun = run_program(layer, tmp_path / "run", "sync", at)
    assert (told, begun[first - 1]) == (str(errno.EIO), LISTED[first - 1])


@compiled
def test_the_compiled_layer_comes_first():
    assert faults.available() == ("shim", "python")


class Told:
    """Stands for a bench where all ways end alike."""

    ways = ["ours", "others"]

    def __init__(self, *ends):
        self.ends = ends

    def points(self, way, begin, kind, every, layer):
        place = 1, faults.Operation("write", "file", "")
        return [judge.Point(kind, *place, *end, "", []) for end in self.ends]


RIGHT, WRONG = ("killed", [], "right"), ("killed", [], "ended wrong")
STUCK, TORN = ("killed", [], "could not go on"), ("killed", ["best.keras"], "right")
UNCLEAN = ("SIGSEGV", [], "right")


@pytest.mark.parametrize(
    "ends, arguments, lost",
    [
        ([RIGHT, RIGHT], [], False),
        ([RIGHT, WRONG], [], True),
        ([STUCK, RIGHT], [], True),
        ([RIGHT, UNCLEAN], [], True),
        ([TORN, RIGHT], [], True),
        ([WRONG], ["--only", "others"], False),
    ],
)
def test_the_table_fails_where_ours_has_lost_anything(ends, arguments, lost, monkeypatch):
    told = contextlib.nullcontext(Told(*ends))
    monkeypatch.setattr(judge, "bench", lambda **how: told)
    monkeypatch.setattr(faults, "KINDS", ("kill", "tear"))
    assert table.main(arguments) == lost


def test_the_table_counts_what_became_of_the_points(monkeypatch, capsys):
    told = contextlib.nullcontext(Told(RIGHT, WRONG, STUCK, TORN, UNCLEAN, UNCLEAN))
    monkeypatch.setattr(judge, "bench", lambda **how: told)
    table.main(["--only", "others"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| others | kill | 12 | 2 | 2 | 0 | 2 | 4 |"
    assert len(lines) == 2 + len(faults.KINDS)

"""A file is whole before, whole after, and whoever dies between leaves one of both."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from keras_sched import _atomic

OLD, NEW = "old\n" * 1000, "the new one\n" * 1000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.v1.keras"
    path.write_text(OLD)
    return path


def test_the_content_is_replaced_whole(path):
    _write(path, NEW)
    assert _texts(path.parent) == {"model.v1.keras": NEW}


def test_a_file_that_is_not_there_is_made(tmp_path):
    _write(tmp_path / "new", NEW)
    assert _texts(tmp_path) == {"new": NEW}


def test_a_name_is_taken_as_text_too(path):
    _write(str(path), NEW)
    assert path.read_text() == NEW


def test_a_relative_name_stays_what_it_was_when_the_folder_changes(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with _atomic.replacing(path.name) as temporary:
        monkeypatch.chdir("/")
        temporary.write_text(NEW)
    assert _texts(path.parent) == {path.name: NEW}


def test_the_old_file_is_there_until_the_end_of_the_block(path):
    with _atomic.replacing(path) as temporary:
        temporary.write_text(NEW)
        assert path.read_text() == OLD


def test_the_temporary_file_is_hidden_beside_its_target_and_ends_alike(path):
    with _atomic.replacing(path) as temporary:
        temporary.write_text(NEW)
    assert temporary.parent == path.parent
    assert temporary.name.startswith(".")
    assert temporary.suffix == ".keras"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_in_the_block_leaves_the_old_file_alone(path, error):
    with pytest.raises(error):
        _fail_while_writing(path, error)
    assert _texts(path.parent) == {path.name: OLD}


def test_a_block_that_writes_nothing_leaves_the_old_file(path):
    with pytest.raises(FileNotFoundError), _atomic.replacing(path):
        pass
    assert _texts(path.parent) == {path.name: OLD}


def test_verify_sees_the_written_file_and_the_old_one(path):
    seen = []

    def verify(temporary):
        seen.extend([temporary.read_text(), path.read_text()])

    _write(path, NEW, verify)
    assert seen == [NEW, OLD]
    assert path.read_text() == NEW


def test_what_verify_raises_leaves_the_old_file_alone(path):
    def verify(temporary):
        raise ValueError("not a model")

    with pytest.raises(ValueError, match="not a model"):
        _write(path, NEW, verify)
    assert _texts(path.parent) == {path.name: OLD}


def test_the_file_is_verified_then_flushed_then_renamed_then_its_folder_flushed(
    path, monkeypatch
):
    log = _log(monkeypatch)
    _write(path, NEW, verify=lambda temporary: log.append(("verify", temporary.name)))
    name = f".model.v1~{_atomic._NODE}-{os.getpid()}.tmp.keras"
    folder = path.parent.name
    expected = [("verify", name), ("fsync", name), ("replace", name), ("fsync", folder)]
    assert log == expected


def test_no_file_stays_open(path):
    before = os.listdir("/proc/self/fd")
    _write(path, NEW)
    late = time.monotonic() + 10
    while os.listdir("/proc/self/fd") != before and time.monotonic() < late:
        time.sleep(0.01)  # The old file is closed by a thread.
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_is_full_at_the_end_leaves_the_old_file(path, function, monkeypatch):
    monkeypatch.setattr(os, function, _full)
    with pytest.raises(OSError, match="No space left"):
        _write(path, NEW)
    assert _texts(path.parent) == {path.name: OLD}


def test_a_disk_that_is_full_half_way_leaves_the_old_file(path):
    with pytest.raises(OSError, match="No space left"):
        _fail_while_writing(path, _disk_full())
    assert _texts(path.parent) == {path.name: OLD}


def test_a_write_that_the_system_cuts_short_leaves_the_old_file(path):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
    done = _run(limit + "_atomic.write_text(path, NEW)", path)
    assert "File too large" in done.stderr
    assert _texts(path.parent) == {path.name: OLD}


def test_a_symbolic_link_is_followed_and_stays_a_link(path, tmp_path):
    link = tmp_path / "elsewhere" / "latest.keras"
    link.parent.mkdir()
    link.symlink_to(path)
    _write(link, NEW)
    assert link.readlink() == path
    assert path.read_text() == NEW
    assert _names(link.parent) == ["latest.keras"]
    assert _names(path.parent) == ["elsewhere", path.name]


def test_a_symbolic_link_to_nothing_yet_makes_what_it_points_to(tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "target")
    _write(link, NEW)
    assert link.is_symlink()
    assert not (tmp_path / "target").is_symlink()
    assert (tmp_path / "target").read_text() == NEW


def test_what_dead_processes_left_is_swept_up(path, dead):
    _leftover(path, dead)
    _write(path, NEW)
    assert _names(path.parent) == [path.name]


def test_what_living_processes_write_is_left_to_them(path):
    theirs = _leftover(path, os.getppid())
    _write(path, NEW)
    assert theirs.read_text() == "half"


def test_a_process_of_another_user_is_alive(path, dead, monkeypatch):
    theirs = _leftover(path, dead)
    monkeypatch.setattr(os, "kill", _forbidden)
    _write(path, NEW)
    assert theirs.exists()


def test_a_name_with_brackets_is_swept_up_after_too(path, dead):
    path = path.with_name("model[1].keras")
    leftover = _leftover(path, dead)
    _write(path, NEW)
    assert not leftover.exists()


def test_what_has_another_name_is_not_swept_up(path, dead):
    others = [
        _leftover(path.with_name("model.v2.keras"), dead),
        _leftover(path.with_name("model.v1.h5"), dead),
        path.with_name(f".model.v1~{_atomic._NODE}-notes.tmp.keras"),
        path.with_name(f".model.v1~{_atomic._NODE}-{10**12}.tmp.keras"),
        path.with_name(f".model.v1.{dead}~{_atomic._NODE}-{dead}.tmp.keras"),
        path.with_name(f"model.v1~{_atomic._NODE}-{dead}.tmp.keras"),
        path.with_name(f".model.v1~elsewhere-{dead}.tmp.keras"),
    ]
    for other in others:
        other.write_text("mine")
    _write(path, NEW)
    assert all(other.read_text() == "mine" for other in others)


def test_what_this_process_left_of_a_failed_write_is_no_obstacle(path):
    _leftover(path, os.getpid())
    _write(path, NEW)
    assert _texts(path.parent) == {path.name: NEW}


def test_write_text_writes_utf_8(path):
    _atomic.write_text(path, "Größe 😀\n")
    assert path.read_bytes() == b"Gr\xc3\xb6\xc3\x9fe \xf0\x9f\x98\x80\n"
    assert _names(path.parent) == [path.name]


def test_remove_removes_and_flushes_the_folder(path, monkeypatch):
    log = _log(monkeypatch)
    _atomic.remove(path)
    _atomic.remove(path)
    assert _names(path.parent) == []
    assert log == [("fsync", path.parent.name)] * 2


def test_a_process_killed_at_any_operation_leaves_a_whole_file(path):
    seen = []
    for operation in range(1, 100):
        path.write_text(OLD)
        done = _run(KILLED, path, str(operation))
        if done.returncode != -signal.SIGKILL:
            break
        seen.append(path.read_text())
        _atomic.write_text(path, "third")
        assert _texts(path.parent) == {path.name: "third"}
    assert done.returncode == 0, done.stderr
    assert path.read_text() == NEW
    before, after = seen.count(OLD), seen.count(NEW)
    assert seen == [OLD] * before + [NEW] * after
    assert before >= 7
    assert after >= 3


PREAMBLE = f"""
import importlib.util, os, pathlib, signal, sys

spec = importlib.util.spec_from_file_location("_atomic", {_atomic.__file__!r})
_atomic = importlib.util.module_from_spec(spec)
spec.loader.exec_module(_atomic)
path = pathlib.Path(sys.argv[1])
NEW = {NEW!r}
"""

# Dies before its n-th operation on files, the n given on the command line.
KILLED = """
left = int(sys.argv[2])

def counted(function):
    def count(*args, **kwargs):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    return count

for name in ("open", "write", "fsync", "close", "replace", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
with _atomic.replacing(path) as temporary:
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for start in range(0, len(NEW), 5000):
        os.write(file, NEW[start : start + 5000].encode())
    os.close(file)
"""


@pytest.fixture
def dead():
    """Returns the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _run(code, path, *arguments):
    command = [sys.executable, "-S", "-c", PREAMBLE + code, str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _write(path, text, verify=None):
    with _atomic.replacing(path, verify) as temporary:
        temporary.write_text(text)


def _leftover(path, process):
    leftover = path.with_name(f".{path.stem}~{_atomic._NODE}-{process}.tmp{path.suffix}")
    leftover.write_text("half")
    return leftover


def _texts(folder):
    return {entry.name: entry.read_text() for entry in folder.iterdir()}


def _names(folder):
    return sorted(os.listdir(folder))


def _fail_while_writing(path, error):
    with _atomic.replacing(path) as temporary:
        temporary.write_text(NEW[: len(NEW) // 2])
        raise error


def _disk_full():
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _full(*args):
    raise _disk_full()


def _forbidden(*args):
    raise PermissionError


def _log(monkeypatch):
    """Returns a list that grows by each flush and rename, with the name it is of."""
    log, fsync, replace = [], os.fsync, os.replace

    def logged_fsync(descriptor):
        name = pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        log.append(("fsync", name))
        fsync(descriptor)

    def logged_replace(source, target):
        log.append(("replace", pathlib.Path(source).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "replace", logged_replace)
    return log

"""The one place that writes files: whole, or not at all.

A file is written beside its final name, verified while the disk takes it, flushed, and
renamed onto it; then the folder is flushed, so that the rename lasts too. Whoever is
killed on the way leaves the old file, or the new one, and at most a hidden temporary
file, which the next write of the same name sweeps up.
"""

import contextlib
import fcntl
import os
import pathlib
import platform
import re
import shutil
import threading

_NODE = re.sub(r"\W", "", platform.node())[:32]  # Others may write on the same disk.


@contextlib.contextmanager
def replacing(path, verify=None, follow=True):
    """Gives a path to write to; at the end of the block it becomes `path`.

    Args:
        path: Final name. Its folder must exist.
        verify: Function of the written path, called before the rename. What it
            raises leaves `path` as it was.
        follow: Whether a symbolic link stays, and what it points to is replaced.
    """
    path = pathlib.Path(path)
    path = path.resolve() if follow else path.parent.resolve() / path.name
    sweep(path)
    temporary = _temporary(path)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            if verify:
                begin_flush(file)
                verify(temporary)
            os.fsync(file.fileno())
        _rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush(path.parent)


def write_text(path, text):
    """Replaces `path` by `text`, encoded as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def begin_flush(file, begin=0):
    """Has the system begin to put on the disk what was written to an open file.

    The flush at the end has less left to do, while more is worked out. It is not waited
    for; where a system cannot be asked, nothing is done.

    Args:
        file: The file.
        begin: From which byte on.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), begin, 0, os.POSIX_FADV_DONTNEED)


def link(path, target, lasting=True):
    """Gives a file that is whole and on the disk the name `target` too.

    It is there once, with two names; where the disk has no such links, it is copied.

    Args:
        path: The file.
        target: Its other name, in the same folder or another.
        lasting: Whether to flush the folder; not where another write there follows.
    """
    path, target = pathlib.Path(path), pathlib.Path(target)
    sweep(target)
    temporary = _temporary(target)
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary, follow_symlinks=False)
        except (OSError, NotImplementedError):
            shutil.copyfile(path, temporary)
            _flush(temporary)
        _rename(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    if lasting:
        _flush(target.parent)


def rename(path, target):
    """Puts a file that is whole and on the disk under the name `target`."""
    _rename(path, target)
    _flush(pathlib.Path(target).parent)


def remove(path):
    """Removes a file, if it is there, for good."""
    path = pathlib.Path(path)
    path.unlink(missing_ok=True)
    _flush(path.parent)


@contextlib.contextmanager
def alone(directory):
    """Holds a folder against other processes that call this; gives whether it is held.

    It is let go by the operating system, however the process ends.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(descriptor)


def sweep(path):
    """Removes what killed processes of this machine left of attempts at `path`."""
    path = pathlib.Path(path)
    begin, end = f".{path.stem}~{_NODE}-", f".tmp{path.suffix}"
    name = re.escape(begin) + "([0-9]{1,9})" + re.escape(end)
    for leftover in path.parent.iterdir():
        found = re.fullmatch(name, leftover.name)
        if found and not _alive(int(found[1])):
            leftover.unlink(missing_ok=True)


def _temporary(path):
    return path.with_name(f".{path.stem}~{_NODE}-{os.getpid()}.tmp{path.suffix}")


def _rename(path, target):
    """Renames a file onto another, whose room on the disk is not waited for.

    To give that back takes the system long where the file is large, so its last name goes
    while it is open, and it is closed in another thread.
    """
    try:
        there = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:  # There is none, or it is another's.
        os.replace(path, target)
        return
    try:
        os.replace(path, target)
    finally:
        threading.Thread(target=os.close, args=(there,)).start()


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""A folder for one process alone, for as long as that lives."""

import contextlib
import fcntl
import json
import os
import platform

_NAME = ".keras_sched.lock"
_held: dict[os.PathLike[str], "Lock"] = {}  # By folder, in this process.


class Lock:
    """Holds a folder against other processes, and against others in this one.

    The operating system lets it go however the process ends. A file in the folder tells
    who holds it, for those that are refused, and where the disk knows no locks.

    Args:
        directory: Path of the folder, which must be there when it is taken.
        needed: Function that tells whether its owner still needs it: a `fit` that broke
            off cannot let it go.
    """

    def __init__(self, directory, needed):
        self.directory, self.needed = directory, needed
        self.path = self._descriptor = None

    def take(self):
        """Takes it.

        Returns:
            Who has it, in words, or `None` when it is taken.
        """
        self.path = self.directory.resolve() / _NAME
        other = _held.get(self.path)
        if other and other is not self and other.needed():
            return "another callback of this process"
        if other:
            other.release()
        holder = self._lock()
        if holder:
            return f"process {holder.get('pid')} on {holder.get('host')}"
        told = {"pid": os.getpid(), "host": platform.node(), "numbers": _numbers()}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(told).encode(), 0)
        _held[self.path] = self
        return None

    def release(self):
        """Lets it go, if it is held."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)
            self._close()
            del _held[self.path]

    def _lock(self):
        """Opens the file and locks it; returns who else has, if somebody."""
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            self._descriptor = os.open(self.path, flags, 0o644)
            free, holder = self._is_free(), self._holder()
            if not free and not _is_dead(holder):
                self._close()
                return holder
            if not free:  # A process that the dead one has started keeps it locked.
                self.path.unlink(missing_ok=True)
            elif self._is_there():
                return None
            self._close()

    def _is_free(self):
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # A disk without locks; its file has to do.
            return not self._holder() or _is_dead(self._holder())
        return True

    def _is_there(self):
        """Returns whether the open file is still the one of that name."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))
        return False

    def _holder(self):
        with contextlib.suppress(ValueError):
            found = json.loads(os.pread(self._descriptor, 1000, 0))
            return found if isinstance(found, dict) else {}
        return {}

    def _close(self):
        os.close(self._descriptor)
        self._descriptor = None


def _numbers():
    """Returns by what the numbers of processes are told apart, as containers have own."""
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _is_dead(holder):
    """Returns whether that process is known to have ended."""
    process = holder.get("pid")
    same = (holder.get("host"), holder.get("numbers")) == (platform.node(), _numbers())
    if not same or not isinstance(process, int):
        return False
    if process == os.getpid():  # The number of one that has ended, given anew.
        return True
    with contextlib.suppress(PermissionError):
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return True
    return False

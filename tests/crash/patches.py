"""The faults of `faults`, put into Python's own functions: no compiler is needed."""

import builtins
import errno
import io
import os
import signal
import types

REAL, REAL_OPEN = types.SimpleNamespace(**vars(os)), open
OTHER, MAKE, WRITE, FLUSH = range(4)
NAMES = {"replace": "rename", "remove": "unlink", "rmdir": "unlink", "symlink": "link"}


def arm(folder, kind, at, log):
    """Does what `faults.arm` does, for this process and for good."""
    disk = _Disk(folder, kind, at, log)
    builtins.open = io.open = disk.open_file
    for name in ("open", "close", "write", "pwrite", "writev", "sendfile"):
        setattr(os, name, getattr(disk, name))
    for name in ("fsync", "fdatasync", "ftruncate"):
        setattr(os, name, disk.of_descriptor(name))
    for name in ("rename", "replace", "link"):
        setattr(os, name, disk.of_two_names(name))
    for name in ("unlink", "remove", "rmdir", "mkdir"):
        setattr(os, name, disk.of_name(name))
    os.symlink = disk.symlink


class _Disk:
    def __init__(self, folder, kind, at, log):
        self.folder, self.kind, self.at, self.log = folder, kind, at, log
        self.count, self.opened = 0, {}

    def meet(self, name, path, operation=OTHER, target=""):
        """Counts one operation, fails it, or returns whether to do a half and die."""
        if not self.inside(path) and not self.inside(target):
            return False
        self.note(name, path, target)
        self.count += 1
        if self.count == self.at and self.kind == "tear" and operation == WRITE:
            return True
        if self.count == self.at and self.kind in ("kill", "tear"):
            die()
        if self.count >= self.at and self.kind == "full" and operation in (MAKE, WRITE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if self.count >= self.at and self.kind == "sync" and operation == FLUSH:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return False

    def inside(self, path):
        return path == self.folder or path.startswith(self.folder + os.sep)

    def note(self, *words):
        if self.log:
            with REAL_OPEN(self.log, "a") as file:
                file.write("\t".join(words) + "\n")

    def path_of(self, file, dir_fd=None):
        """Returns the whole path of a name or of an open file, or an empty one."""
        if isinstance(file, int):
            return self.opened.get(file, ("", False))[0]
        start = os.getcwd() if dir_fd is None else self.path_of(dir_fd)
        return os.path.normpath(os.path.join(start, os.fsdecode(file)))

    def open(self, file, flags, mode=0o777, *, dir_fd=None):
        path, writes = self.path_of(file, dir_fd), flags & os.O_ACCMODE != os.O_RDONLY
        if writes:
            new = flags & os.O_CREAT and not os.path.lexists(path)
            self.meet("open", path, MAKE if new else OTHER)
        descriptor = REAL.open(file, flags, mode, dir_fd=dir_fd)
        self.opened[descriptor] = path, writes
        return descriptor

    def close(self, descriptor):
        self.forget(descriptor)
        REAL.close(descriptor)

    def forget(self, descriptor):
        path, writes = self.opened.pop(descriptor, ("", False))
        if writes:
            self.meet("close", path)

    def write(self, descriptor, data):
        return self.written(REAL.write, descriptor, data)

    def pwrite(self, descriptor, data, offset):
        return self.written(REAL.pwrite, descriptor, data, offset)

    def writev(self, descriptor, parts):
        return self.write(descriptor, b"".join(parts))

    def written(self, write, descriptor, data, *rest):
        if self.meet("write", self.path_of(descriptor), WRITE):
            view = memoryview(data).cast("B")
            write(descriptor, view[: len(view) // 2], *rest)
            die()
        return write(descriptor, data, *rest)

    def sendfile(self, target, source, offset, count):
        if self.meet("write", self.path_of(target), WRITE):
            REAL.sendfile(target, source, offset, os.fstat(source).st_size // 2)
            die()
        return REAL.sendfile(target, source, offset, count)

    def symlink(self, content, file, **options):
        self.meet("link", self.path_of(file), MAKE)
        REAL.symlink(content, file, **options)

    def of_descriptor(self, name):
        kind = OTHER if name == "ftruncate" else FLUSH
        told = "truncate" if name == "ftruncate" else "fsync"

        def done(file, *rest):
            descriptor = file if isinstance(file, int) else file.fileno()
            self.meet(told, self.path_of(descriptor), kind)
            return getattr(REAL, name)(descriptor, *rest)

        return done

    def of_two_names(self, name):
        def done(file, target, *, src_dir_fd=None, dst_dir_fd=None, **options):
            names = self.path_of(file, src_dir_fd), self.path_of(target, dst_dir_fd)
            self.meet(NAMES.get(name, name), names[0], MAKE, names[1])
            folders = dict(src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            return getattr(REAL, name)(file, target, **folders, **options)

        return done

    def of_name(self, name):
        kind = MAKE if name == "mkdir" else OTHER

        def done(file, *rest, dir_fd=None, **options):
            self.meet(NAMES.get(name, name), self.path_of(file, dir_fd), kind)
            return getattr(REAL, name)(file, *rest, dir_fd=dir_fd, **options)

        return done

    def open_file(
        self,
        file,
        mode="r",
        buffering=-1,
        encoding=None,
        errors=None,
        newline=None,
        closefd=True,
        opener=None,
    ):
        """Does what `open` does, by a raw file whose writes are met."""
        rest = encoding, errors, newline
        if not set(mode) & set("wax+") or not self.inside(self.path_of(file)):
            return REAL_OPEN(file, mode, buffering, *rest, closefd, opener)
        plain = mode.replace("b", "").replace("t", "")
        raw = _File(self, file, plain, closefd, opener)
        if buffering == 0:
            return raw
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, *rest, line_buffering=buffering == 1)


class _File(io.FileIO):
    def __init__(self, disk, file, mode, closefd, opener):
        self.disk = disk
        super().__init__(file, mode, closefd, opener or disk.open)

    def write(self, data):
        return self.disk.write(self.fileno(), data)

    def truncate(self, size=None):
        self.disk.meet("truncate", self.disk.path_of(self.fileno()))
        return super().truncate(size)

    def close(self):
        if not self.closed and self.closefd:
            self.disk.forget(self.fileno())
        super().close()


def die():
    """Ends the process as the power switch does."""
    os.kill(os.getpid(), signal.SIGKILL)

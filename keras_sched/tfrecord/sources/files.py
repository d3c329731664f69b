"""Image files that rows name by their paths, and folders of them, one for each class."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib

import numpy as np

from keras_sched._checks import check
from keras_sched.tfrecord import images
from keras_sched.tfrecord.schema import Field, is_text
from keras_sched.tfrecord.sources.base import (
    PIECE_BYTES,
    PIECE_ROWS,
    Piece,
    Rows,
    infer,
    picked,
    sample,
)

SPLITS = {"train", "test", "val", "valid", "validation", "dev"}


class Files(Rows):
    """Rows of which some fields are the contents of files.

    Args:
        root: Folder to which the paths are relative.
        columns: By name of a field, its values; those of `paths` are paths.
        paths: Names of the fields that are read from files.
        rows: What each row is called, or `None` for the path of its first file.
        image_format: As `convert` has it.
        labels: By name of a field, the names of its classes.
        nest: As `Source` has it.
    """

    workers = None

    def __init__(self, root, columns, paths, rows, image_format, labels, nest):
        self.root, self.paths, self.nest = root, paths, nest
        others = {n: c for n, c in columns.items() if n not in paths}
        values, fields = infer(others)
        self.form = None if image_format == "keep" else image_format
        self.columns = values | {name: columns[name] for name in paths}
        named = (
            dataclasses.replace(field, labels=tuple(labels.get(field.name, ())))
            for field in fields
        )
        self.count = len(columns[paths[0]])
        self.rows = rows or self.columns[paths[0]]
        self.sizes = [
            _size(root, [columns[n][i] for n in paths]) for i in range(self.count)
        ]
        self.channels, self.pixels = {}, 0
        pictures = [self._field(name) for name in paths]
        size = self.pixels or sum(size for size, _ in self.sizes)
        if self.form in images.FORMATS:
            size *= self._growth()
        self.nbytes = int(size) + 200 * self.count
        self.fields = tuple(sorted([*named, *pictures], key=lambda field: field.name))

    def part(self, start, stop):
        columns = {name: column[start:stop] for name, column in self.columns.items()}
        states = self.sizes[start:stop]
        rows = self.rows[start:stop]
        return Part(
            self.root, columns, rows, states, self.form, self.paths, self.channels
        )

    def _field(self, name):
        if self.form != "raw":
            return Field(name, "uint8", (None,) * 3, "image")
        looks = list(self._looks(name))
        check(looks, "convert", "source", "a folder with images", str(self.root))
        seen = images.together(looks)
        must = "images of one depth, to be stored raw"
        check(len(seen.dtypes) == 1, "convert", "source", must, list(seen.dtypes))
        self.channels[name], (dtype,) = seen.shape[2], seen.dtypes
        pixels = sum(one.heights[0] * one.widths[0] for one in looks)
        self.pixels += pixels * seen.shape[2] * np.dtype(dtype).itemsize
        return Field.of(name, dtype, seen.shape)

    def _looks(self, name):
        """Yields what the images are like; those that are none are told when written."""
        for path in self.columns[name]:
            with contextlib.suppress(OSError, images.NoImageError):
                yield images.look((self.root / path).read_bytes())

    def _growth(self):
        """Returns how much longer the files become, about, by some of them."""
        before, after = 0, 0
        for number in sample(self.count):
            part = self.part(number, number + 1)
            with contextlib.suppress(OSError, images.NoImageError):
                after += sum(len(part.read(name, 0)) for name in self.paths)
                before += self.sizes[number][0]
        return after / before if before else 1


@dataclasses.dataclass(frozen=True)
class Part:
    """Some of those rows."""

    root: pathlib.Path
    columns: dict
    rows: list
    states: list
    form: str | None
    paths: tuple
    channels: dict

    def pieces(self):
        """Yields the rows, and reads the files as it goes."""
        first = 0
        while first < len(self.rows):
            stop, size = first, 0
            most = min(first + PIECE_ROWS, len(self.rows))
            while stop < most and size < PIECE_BYTES:
                size += self.states[stop][0]
                stop += 1
            yield self._piece(range(first, stop))
            first = stop

    def _piece(self, numbers):
        contents, kept, rejects = {name: [] for name in self.paths}, [], []
        for number in numbers:
            try:
                read = [self.read(name, number) for name in self.paths]
            except (OSError, images.NoImageError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                rejects.append((self.rows[number], reason))
                continue
            kept.append(number)
            for name, content in zip(self.paths, read):
                contents[name].append(content)
        for name in self.columns.keys() - set(self.paths):
            contents[name] = picked(self.columns[name], kept)
        return Piece(contents, [self.rows[number] for number in kept], tuple(rejects))

    def read(self, name, number):
        """Returns an image of one row, as it is to be stored."""
        path = self.columns[name][number]
        if not path:
            raise images.NoImageError("has no path")
        if not is_text(path):
            raise images.NoImageError("has a name that is not UTF-8")
        content = (self.root / path).read_bytes()
        if self.form == "raw":
            return images.decode(content, self.channels[name])
        return content if self.form is None else images.converted(content, self.form)

    def fingerprint(self):
        """Returns a checksum of names, sizes and times of the files, and of the rest."""
        columns = {name: list(column) for name, column in self.columns.items()}
        text = repr((self.form, self.rows, self.states, sorted(columns.items())))
        return "files " + hashlib.sha256(text.encode()).hexdigest()[:32]


def class_folders(root, image_format, like):
    """Returns the `Files` of a folder of folders, one a class.

    They come in the order of a hash of their names, so that classes are mixed for readers
    that do not shuffle.
    """
    names = sorted(entry.name for entry in os.scandir(root) if _visible(entry))
    found = {name: sorted(_walk(root / name, root)) for name in names}
    found = {name: paths for name, paths in found.items() if paths}
    must = "a folder of folders with images in them, one for each class"
    check(found, "convert", "source", must, str(root))
    labels = classes(found, like.get("label", ()))
    pairs = [(path, labels.index(name)) for name in found for path in found[name]]
    pairs.sort(key=lambda pair: hashlib.sha1(os.fsencode(pair[0])).digest())
    paths, numbers = map(list, zip(*pairs))
    columns = {"file_name": paths, "image": paths, "label": numbers}
    nest = ("image", "label")
    return Files(root, columns, ("image",), None, image_format, {"label": labels}, nest)


def splits_of(root):
    """Returns the folders of splits in a folder, by name, if it has no others."""
    names = sorted(entry.name for entry in os.scandir(root) if _visible(entry))
    folders = {name: root / name for name in names}
    return folders if folders and set(folders) <= SPLITS else {}


def classes(there, known):
    """Returns the names of classes: those known already, if these are among them."""
    return list(known) if set(there) <= set(known) else sorted(set(there))


def _visible(entry):
    return entry.is_dir() and not entry.name.startswith(".")


def _walk(folder, root):
    """Yields the paths of the images below a folder, relative to the root."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in files:
            path = pathlib.Path(parent) / file
            if path.suffix.lower() in images.SUFFIXES and not file.startswith("."):
                yield path.relative_to(root).as_posix()


def _size(root, paths):
    """Returns how long files are together, and when they were changed."""
    try:
        states = [os.stat(root / path) for path in paths]
    except OSError:
        return 0, ()
    return sum(s.st_size for s in states), tuple(s.st_mtime_ns for s in states)

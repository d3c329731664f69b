"""Image files: in folders, one for each class, or named by the lines of a CSV."""

import dataclasses
import hashlib
import os
import pathlib

from keras_sched._checks import check
from keras_sched.tfrecord import images
from keras_sched.tfrecord.schema import Field, merged_shape
from keras_sched.tfrecord.sources.base import (
    PIECE_BYTES,
    PIECE_ROWS,
    Piece,
    Rows,
    infer,
    picked,
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
        self.nbytes = sum(size for size, _ in self.sizes) + 200 * self.count
        self.channels = {}
        pictures = [self._field(name) for name in paths]
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
        shapes, channels, dtypes = set(), set(), set()
        for path in self.columns[name]:
            try:
                seen = images.look((self.root / path).read_bytes())
                shapes.add((seen.heights[0], seen.widths[0]))
                self.nbytes += seen.heights[0] * seen.widths[0] * 3
                channels.add(seen.channels[0])
                dtypes.add(seen.dtypes[0])
            except (OSError, images.NoImageError):
                continue  # Told when it is written.
        check(shapes, "convert", "source", "a folder with images", str(self.root))
        must = "images of one depth, to be stored raw"
        check(len(dtypes) == 1, "convert", "source", must, sorted(dtypes))
        many = channels.pop() if len(channels) == 1 else 3
        self.channels[name] = 4 if many == 2 else many
        shape = (*merged_shape(shapes), self.channels[name])
        return Field.of(name, dtypes.pop(), shape)


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
                read = [self._read(name, number) for name in self.paths]
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

    def _read(self, name, number):
        content = (self.root / self.columns[name][number]).read_bytes()
        if self.form is None:
            return content
        if self.form != "raw" and self.form in images.look(content).formats:
            return content
        pixels = images.decode(content, self.channels.get(name))
        return pixels if self.form == "raw" else images.encode(pixels, self.form)

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
    classes = _classes(found, like.get("label", ()))
    pairs = [(path, classes.index(name)) for name in found for path in found[name]]
    pairs.sort(key=lambda pair: hashlib.sha1(pair[0].encode()).digest())
    paths, labels = map(list, zip(*pairs))
    columns = {"file_name": paths, "image": paths, "label": labels}
    nest = ("image", "label")
    return Files(root, columns, ("image",), None, image_format, {"label": classes}, nest)


def splits_of(root):
    """Returns the folders of splits in a folder, by name, if it has no others."""
    names = sorted(entry.name for entry in os.scandir(root) if _visible(entry))
    folders = {name: root / name for name in names}
    return folders if folders and set(folders) <= SPLITS else {}


def table(path, image_format, like):
    """Returns the source of a CSV file: with images, if a column has paths of them."""
    from pyarrow import ArrowInvalid, csv, types

    from keras_sched.tfrecord.sources.arrays import Arrays

    try:
        read = csv.read_csv(path)
    except ArrowInvalid as error:
        check(False, "convert", "source", f"a readable CSV ({error})", str(path))
    check(read.num_rows, "convert", "source", "a CSV with lines", str(path))
    columns, labels, paths = {}, {}, []
    for name in read.column_names:
        column = read[name]
        plain = types.is_integer(column.type) or types.is_boolean(column.type)
        must = f"a CSV without gaps, but column {name} has {column.null_count}"
        check(not plain or not column.null_count, "convert", "source", must, str(path))
        if plain or types.is_floating(column.type):
            columns[name] = column.to_numpy()
            continue
        columns[name] = [str(v if v is not None else "") for v in column.to_pylist()]
        if all(
            pathlib.PurePath(v).suffix.lower() in images.SUFFIXES for v in columns[name]
        ):
            paths.append(name)
        elif name in ("label", "class"):
            labels[name] = _classes(columns[name], like.get(name, ()))
            columns[name] = [labels[name].index(v) for v in columns[name]]
    label = next((name for name in ("label", "class") if name in columns), None)
    if not paths:
        return Arrays(columns, image_format, labels)
    if len(paths) == 1 and not {"image", "file_name"} & (columns.keys() - paths):
        columns["file_name"] = columns.pop(paths[0])
        columns["image"], paths = columns["file_name"], ["image"]
    nest = (paths[0], label) if label else None
    lines = [f"{path.name}, line {number + 2}" for number in range(read.num_rows)]
    root = path.parent
    return Files(root, columns, tuple(paths), lines, image_format, labels, nest)


def _classes(there, known):
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

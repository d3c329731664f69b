"""Rows whose images become files of one format, whatever source they are from."""

import dataclasses

import numpy as np

from keras_sched._checks import check
from keras_sched.tfrecord import images
from keras_sched.tfrecord.sources.base import Piece, Rows, Source, nbytes, picked, sample


def encoded(source, image_format):
    """Returns a source with its images in a format, where that is not as they are.

    Raises:
        ValueError: For "raw" where there are image files: their sizes are not known
            before all of them have been read.
    """
    if image_format == "keep":
        return source
    _check_bytes(source, image_format)
    files = [field.name for field in source.fields if field.encoding == "image"]
    if image_format == "raw":
        must = f"another than 'raw' for image files that are in rows: {files}"
        check(not files, "convert", "image_format", must, "raw")
        return source
    fields = tuple(map(_stored, source.fields))
    names = tuple(field.name for field in fields if field.encoding == "image")
    kind = _EncodedRows if isinstance(source, Rows) else _Encoded
    return kind(source, fields, names, image_format) if names else source


def _check_bytes(source, image_format):
    """Refuses image files that are given as mere bytes, which nothing decodes."""
    fields = [f.name for f in source.fields if f.encoding == "string" and not f.shape]
    first = source.first().columns if fields else {}
    files = [name for name in fields if any(map(_is_file, first[name][:1]))]
    must = f"'keep' for image files that are in rows as bytes: {files}"
    check(not files, "convert", "image_format", must, image_format)


def _is_file(value):
    return isinstance(value, bytes) and images.is_one(value)


def _is_array_of_images(field):
    """Returns whether the arrays of a field may be encoded as images."""
    is_image = field.dtype == "uint8" and len(field.shape) == 3
    return is_image and field.encoding == "raw" and field.shape[2] in (1, 3, 4)


def _stored(field):
    if _is_array_of_images(field):
        return dataclasses.replace(field, encoding="image", shape=(None,) * 3)
    return field


class _Encoded(Source):
    """What comes one by one, with its images encoded; how long they are is not known."""

    def __init__(self, source, fields, names, form):
        self.source, self.fields, self.nest = source, fields, source.nest
        self.count, self.names, self.form = source.count, names, form

    def pieces(self):
        for piece in self.source.pieces():
            yield _converted(piece, self.names, self.form)


class _EncodedRows(Rows):
    """Rows of which any can be had, with their images encoded."""

    workers = None

    def __init__(self, source, fields, names, form):
        self.source, self.fields, self.nest = source, fields, source.nest
        self.count, self.names, self.form = source.count, names, form
        sizes = [self._size(number) for number in sample(self.count)]
        self.nbytes = int(np.mean(sizes) * self.count)

    def part(self, start, stop):
        return _Part(self.source.part(start, stop), self.names, self.form)

    def _size(self, number):
        pieces = self.part(number, number + 1).pieces()
        return 200 + sum(nbytes(c) for piece in pieces for c in piece.columns.values())


@dataclasses.dataclass(frozen=True)
class _Part:
    """Some of those rows."""

    part: object
    names: tuple
    form: str

    def pieces(self):
        """Yields the rows."""
        for piece in self.part.pieces():
            yield _converted(piece, self.names, self.form)

    def fingerprint(self):
        """Returns what the rows say of themselves, and the format."""
        inner = self.part.fingerprint()
        return inner and f"{self.form} of {inner}"


def _converted(piece, names, form):
    """Returns a piece with its images encoded; those that cannot be are its rejects."""
    kept, contents, rejects = [], {name: [] for name in names}, []
    for number in range(piece.length):
        try:
            made = [images.converted(piece.columns[n][number], form) for n in names]
        except (OSError, images.NoImageError) as error:
            rejects.append((piece.rows[number], str(error)))
            continue
        kept.append(number)
        for name, content in zip(names, made):
            contents[name].append(content)
    others = {n: c for n, c in piece.columns.items() if n not in names}
    columns = contents | {name: picked(column, kept) for name, column in others.items()}
    rows = [piece.rows[number] for number in kept]
    return Piece(columns, rows, (*piece.rejects, *rejects))

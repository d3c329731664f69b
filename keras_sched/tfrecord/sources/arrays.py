"""Arrays, in any nest of dicts and tuples."""

import dataclasses

import google_crc32c
import numpy as np

from keras_sched._checks import check
from keras_sched.tfrecord.sources.base import (
    PIECE_BYTES,
    Names,
    Piece,
    Rows,
    infer,
    nbytes,
)
from keras_sched.tfrecord.structure import flatten


class Arrays(Rows):
    """Arrays of one length.

    Args:
        source: Nest of dicts and tuples of them.
        like: By name of a field, the names of its classes.
    """

    def __init__(self, source, like=None):
        leaves, self.nest = flatten(source, _rank)
        self.columns, fields = infer(leaves)
        lengths = {name: len(column) for name, column in self.columns.items()}
        equal = len(set(lengths.values())) == 1 and min(lengths.values()) > 0
        check(equal, "convert", "source", "arrays of one length, not empty", lengths)
        self.count = min(lengths.values())
        self.nbytes = sum(map(nbytes, self.columns.values()))
        self.fields = tuple(
            dataclasses.replace(field, labels=tuple((like or {}).get(field.name, ())))
            for field in fields
        )

    def part(self, start, stop):
        rows = slice(start, stop)
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Columns(columns, start, stop)


@dataclasses.dataclass(frozen=True)
class Columns:
    """Some rows of arrays."""

    columns: dict
    start: int
    stop: int

    def pieces(self):
        """Yields the rows."""
        count = self.stop - self.start
        each = sum(map(nbytes, self.columns.values())) // max(count, 1)
        step = max(1, PIECE_BYTES // max(each, 1))
        for first in range(0, count, step):
            columns = {n: c[first : first + step] for n, c in self.columns.items()}
            yield Piece(columns, Names("row", self.start + first))

    def fingerprint(self):
        """Returns a checksum of all the values."""
        crc = google_crc32c.value(repr(sorted(self.columns)).encode())
        for name in sorted(self.columns):
            for part in _parts(self.columns[name]):
                crc = google_crc32c.extend(crc, part)
        return f"arrays {crc:08x} {self.stop - self.start}"


def _rank(values):
    """Returns of what rank the first of some values is; of no values, 0."""
    try:
        return np.ndim(values[0])
    except (TypeError, ValueError, LookupError):
        return 0


def _parts(column):
    """Yields the bytes of a column, some at a time."""
    if isinstance(column, np.ndarray):
        step = max(1, PIECE_BYTES // max(column[:1].nbytes, 1))
        for first in range(0, len(column), step):
            part = np.ascontiguousarray(column[first : first + step])
            yield part.reshape(-1).view("uint8")
        return
    for value in column:
        text = value.encode() if isinstance(value, str) else value
        shaped = isinstance(text, np.ndarray)
        content = text.tobytes() if shaped else text
        yield repr((np.shape(text), len(content))).encode() + content

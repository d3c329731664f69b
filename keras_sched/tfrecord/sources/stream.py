"""Rows that come one after another, cut into files."""

import math

import numpy as np

from keras_sched.tfrecord.sources.base import Piece, nbytes


class Stream:
    """Pieces of rows, of which one part after another is taken.

    Args:
        pieces: Iterable of `Piece`.
    """

    def __init__(self, pieces):
        self.pieces, self.held = iter(pieces), None

    def more(self):
        """Returns whether there are rows left."""
        while self.held is None:
            self.held = next(self.pieces, None)
            if self.held is None:
                return False
        return True

    def fitting(self, size):
        """Returns how many of the next rows have, about, so many bytes; at least one."""
        if not self.held.length:
            return np.inf
        each = sum(map(nbytes, self.held.columns.values())) / self.held.length
        return max(1, math.ceil(size / max(each, 1)))

    def part(self, rows=None, size=None):
        """Returns the next so many rows, or of so many bytes, or all that are left."""
        return _Part(self, rows, size)

    def take(self, most):
        """Returns the next rows, at most so many."""
        piece, self.held = self.held, None
        if piece.length <= most:
            return piece
        columns = {name: column[:most] for name, column in piece.columns.items()}
        rest = {name: column[most:] for name, column in piece.columns.items()}
        names = _After(piece.rows, most)
        self.held = Piece(rest, names)
        return Piece(columns, piece.rows, piece.rejects)


class _Part:
    """Rows up to some bound."""

    def __init__(self, stream, rows, size):
        self.stream, self.rows, self.size = stream, rows, size

    def pieces(self):
        rows, size = 0, 0
        while self.stream.more():
            if (self.rows is not None and rows >= self.rows) or (
                self.size is not None and size >= self.size
            ):
                return
            most = np.inf if self.rows is None else self.rows - rows
            if self.size is not None:
                most = min(most, self.stream.fitting(self.size - size))
            piece = self.stream.take(most)
            rows += piece.length + len(piece.rejects)
            size += sum(map(nbytes, piece.columns.values()))
            yield piece

    def fingerprint(self):
        """Returns `None`: these rows cannot be known without going through them."""


class _After:
    """What rows are called, from some on."""

    def __init__(self, rows, first):
        if isinstance(rows, _After):  # Not one in another, for each of many files.
            rows, first = rows.rows, rows.first + first
        self.rows, self.first = rows, first

    def __getitem__(self, number):
        return self.rows[self.first + number]

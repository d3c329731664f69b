"""One file of records: whole, or not at all."""

import dataclasses
import pathlib

import google_crc32c
import numpy as np

from keras_sched import _atomic
from keras_sched.tfrecord import examples, images, index
from keras_sched.tfrecord import layout as layouts
from keras_sched.tfrecord.errors import DataError
from keras_sched.tfrecord.metadata import Shard, Written
from keras_sched.tfrecord.sources.base import Piece, picked

_FLUSHED_BYTES = 4 * 2**20


class BadRowError(DataError):
    """A row of a source that cannot be written: which, and why."""


@dataclasses.dataclass(frozen=True)
class Task:
    """All that is needed to write one file, anywhere.

    Attributes:
        path: `pathlib.Path` of the file; replaced if it is there.
        fields: Tuple of `schema.Field`.
        part: What gives the rows, by its method `pieces`.
        skip: Whether rows that are bad are left out; else they raise `BadRowError`.
        indexed: Whether to write where the records begin, too.
        resumable: Whether to say of which rows the file is, for a second run.
    """

    path: pathlib.Path
    fields: tuple
    part: object
    skip: bool = False
    indexed: bool = False
    resumable: bool = False


def write_shard(task, tell=lambda records, size: None):
    """Writes a file; returns its `metadata.Written`.

    Args:
        task: The `Task`.
        tell: Function of how many records and bytes have just been written.
    """
    layout = layouts.of(task.fields)
    encoded = [field.name for field in task.fields if field.encoding == "image"]
    rejects, seen = [], {name: [] for name in encoded}

    def pieces():
        for piece in task.part.pieces():
            piece, looks = _looked_at(piece, encoded)
            columns = piece.columns
            rejects.extend(piece.rejects)
            if piece.rejects and not task.skip:
                row, reason = piece.rejects[0]
                raise BadRowError(f"{row}: {reason}")
            for name, each in looks.items():
                seen[name] += [images.together(each)] if each else []
            if layout:
                block = layout.encode({n: np.asarray(c) for n, c in columns.items()})
                lengths = np.full(len(block), layout.stride)
            else:
                block, lengths = examples.encode(task.fields, columns)
            yield block, lengths
            tell(len(lengths), block.nbytes)

    shard = write_pieces(task.path, pieces(), indexed=task.indexed or not layout)
    alike = {name: images.together(each) for name, each in seen.items() if each}
    shard = dataclasses.replace(shard, images=alike)
    source = task.part.fingerprint() if task.resumable else None
    return Written(shard, source, tuple(rejects))


def write_pieces(path, pieces, indexed=False):
    """Writes records, given as bytes and lengths; returns their `Shard`."""
    crc = size = count = flushed = 0
    every = []
    with _atomic.replacing(path) as temporary, open(temporary, "wb") as file:
        for piece, lengths in pieces:
            piece = np.ascontiguousarray(piece).reshape(-1)
            crc = google_crc32c.extend(crc, piece)
            size += file.write(piece)
            count += len(lengths)
            if size - flushed >= _FLUSHED_BYTES:
                _atomic.begin_flush(file, flushed)
                flushed = size
            every.extend([lengths] if indexed else [])
    if indexed:
        index.write(path, np.concatenate([*every, np.empty(0, "int64")]).astype("int64"))
    return Shard(path.name, count, size, crc)


def _looked_at(piece, encoded):
    """Returns a piece with bad images among its rejects, and what the others are."""
    bad, looks = {}, {name: [] for name in encoded}
    for number in range(piece.length if encoded else 0):
        try:
            seen = [images.look(piece.columns[name][number]) for name in encoded]
        except images.NoImageError as error:
            bad[number] = (piece.rows[number], str(error))
            continue
        for name, one in zip(encoded, seen):
            looks[name].append(one)
    if not bad:
        return piece, looks
    kept = [number for number in range(piece.length) if number not in bad]
    columns = {name: picked(column, kept) for name, column in piece.columns.items()}
    rows = [piece.rows[number] for number in kept]
    return Piece(columns, rows, (*piece.rejects, *bad.values())), looks

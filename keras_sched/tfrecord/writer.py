"""One file of records: whole, or not at all."""

import dataclasses
import pathlib

import google_crc32c
import numpy as np

from keras_sched import _atomic
from keras_sched.tfrecord import examples, images, index
from keras_sched.tfrecord.layout import Layout
from keras_sched.tfrecord.metadata import Shard, Written
from keras_sched.tfrecord.sources.base import picked


class BadRowError(ValueError):
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
    fixed = all(field.nbytes is not None for field in task.fields)
    layout = Layout(task.fields) if fixed else None
    encoded = [field.name for field in task.fields if field.encoding == "image"]
    rejects, seen = [], {name: [] for name in encoded}

    def pieces():
        for piece in task.part.pieces():
            columns, bad, looks = _looked_at(piece, encoded)
            rejects.extend(bad)
            if bad and not task.skip:
                row, reason = bad[0]
                raise BadRowError(f"{row}: {reason}")
            for name, each in looks.items():
                seen[name] += [images.together(each)] if each else []
            count = len(next(iter(columns.values())))
            if layout:
                arrays = {name: np.asarray(column) for name, column in columns.items()}
                block, lengths = layout.encode(arrays), np.full(count, layout.stride)
            else:
                block, lengths = examples.encode(task.fields, columns)
            yield block, lengths
            tell(count, block.nbytes)

    shard = write_pieces(task.path, pieces(), indexed=task.indexed or not fixed)
    alike = {name: images.together(each) for name, each in seen.items() if each}
    shard = dataclasses.replace(shard, images=alike)
    source = task.part.fingerprint() if task.resumable else None
    return Written(shard, source, tuple(rejects))


def write_pieces(path, pieces, indexed=False):
    """Writes records, given as bytes and lengths; returns their `Shard`."""
    crc = size = count = 0
    every = []
    with _atomic.replacing(path) as temporary, open(temporary, "wb") as file:
        for piece, lengths in pieces:
            piece = np.ascontiguousarray(piece).reshape(-1)
            crc = google_crc32c.extend(crc, piece)
            size += file.write(piece)
            count += len(lengths)
            every.extend([lengths] if indexed else [])
    if indexed:
        index.write(path, np.concatenate([*every, np.empty(0, "int64")]).astype("int64"))
    return Shard(path.name, count, size, crc)


def _looked_at(piece, encoded):
    """Returns the columns without bad images, all rejects, and what the images are."""
    bad, looks = {}, {name: [] for name in encoded}
    count = len(next(iter(piece.columns.values())))
    for number in range(count if encoded else 0):
        try:
            seen = [images.look(piece.columns[name][number]) for name in encoded]
        except images.NoImageError as error:
            bad[number] = (piece.rows[number], str(error))
            continue
        for name, one in zip(encoded, seen):
            looks[name].append(one)
    rejects = [*piece.rejects, *bad.values()]
    if not bad:
        return piece.columns, rejects, looks
    kept = [number for number in range(count) if number not in bad]
    return {n: picked(c, kept) for n, c in piece.columns.items()}, rejects, looks

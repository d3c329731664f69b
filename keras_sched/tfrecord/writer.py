"""One file of records: whole, or not at all."""

import google_crc32c

from keras_sched import _atomic
from keras_sched.tfrecord.metadata import Shard

_BLOCK_BYTES = 16 * 2**20


def write_shard(path, layout, arrays, start, stop):
    """Writes records `start` to `stop` of the arrays as the file `path`.

    Args:
        path: `pathlib.Path` of the file; replaced if it is there.
        layout: `layout.Layout` of the fields.
        arrays: Dict of arrays.
        start: First record.
        stop: One past the last.

    Returns:
        `metadata.Shard` that describes the file.
    """
    step = max(1, _BLOCK_BYTES // layout.stride)

    def blocks():
        for first in range(start, stop, step):
            part = slice(first, min(first + step, stop))
            yield layout.encode({name: array[part] for name, array in arrays.items()})

    return write_pieces(path, stop - start, blocks())


def write_pieces(path, count, pieces):
    """Writes so many records, given as arrays of bytes; returns their `Shard`."""
    crc = size = 0
    with _atomic.replacing(path) as temporary, open(temporary, "wb") as file:
        for piece in pieces:
            crc = google_crc32c.extend(crc, piece.reshape(-1))
            size += file.write(piece)
    return Shard(path.name, count, size, crc)

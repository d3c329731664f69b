"""Arrays into one file of records: whole, or not at all."""

import google_crc32c

from keras_sched import _atomic
from keras_sched.tfrecord.metadata import Shard

_BLOCK_BYTES = 16 * 2**20


def write_shard(path, layout, arrays, start, stop):
    """Writes records `start` to `stop` of the arrays as the file `path`.

    Args:
        path: `pathlib.Path` of the file; replaced if it is there.
        layout: `records.Layout` of the fields.
        arrays: Dict of arrays.
        start: First record.
        stop: One past the last.

    Returns:
        `metadata.Shard` that describes the file.
    """
    crc, step = 0, max(1, _BLOCK_BYTES // layout.stride)
    with _atomic.replacing(path) as temporary, open(temporary, "wb") as file:
        for first in range(start, stop, step):
            part = slice(first, min(first + step, stop))
            block = layout.encode({name: array[part] for name, array in arrays.items()})
            crc = google_crc32c.extend(crc, block.reshape(-1))
            file.write(block)
    return Shard(path.name, stop - start, (stop - start) * layout.stride, crc)

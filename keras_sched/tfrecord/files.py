"""Files of records, mapped into memory."""

import google_crc32c
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from keras_sched._checks import check
from keras_sched.tfrecord import records
from keras_sched.tfrecord.layout import FOREIGN

_CHUNK = 2**26


class File:
    """The records of one file; those that are damaged are no records, or raise.

    Left out, they are looked for at once: a file whose checksum is right has none, and
    that is found out at the speed of the memory. Otherwise each is checked when it is
    first read.
    """

    def __init__(self, directory, shard, layout, skip):
        self.path, self.layout = directory / shard.file, layout
        size = self.path.stat().st_size if self.path.is_file() else None
        must = f"whole: {self.path} must be there and {shard.bytes} bytes long"
        must += " (verify tells what is wrong)"
        right = size is not None if skip else size == shard.bytes
        check(right, "load", "directory", must, size)
        content = mapped(self.path)
        damaged = skip and checksum(content) != shard.crc32c
        self.begins = sound(content, layout)[0] if damaged else None
        self.count = len(self.begins) if damaged else shard.records
        self.checked = np.full(self.count, skip)
        self.rows = sliding_window_view(content, layout.stride) if self.count else content

    def read(self, numbers):
        """Returns records as rows of bytes; those not read before are checked."""
        straight = numbers * self.layout.stride
        places = straight if self.begins is None else self.begins[numbers]
        rows, new = self.rows[places], ~self.checked[numbers]
        if new.any():
            damage = self.layout.damage(rows[new])
            for record, what in zip(numbers[new][damage != ""], damage[damage != ""]):
                place = f"record {record}, byte {record * self.layout.stride}"
                raise ValueError(f"{self.path}, {place}: {what}")
            self.checked[numbers] = True
        return rows


def mapped(path):
    """Returns the bytes of a file as an array, without reading them."""
    if not path.stat().st_size:
        return np.empty(0, "uint8")
    return np.memmap(path, "uint8", "r")


def checksum(content, tell=lambda count: None):
    """Returns the crc32c of an array of bytes; tells how many it has read on the way."""
    crc = 0
    for first in range(0, len(content), _CHUNK):
        part = content[first : first + _CHUNK]
        crc = google_crc32c.extend(crc, part)
        tell(len(part))
    return crc


def sound(content, layout=None):
    """Returns where the sound records begin and end, and all flaws of a file.

    Args:
        content: Its bytes, as an array.
        layout: What the records have to be. `None`: any.
    """
    begins, ends, flaws = records.scan(content)
    places = zip(begins, ends)
    ours = np.array(
        [layout is None or _fits(content[b:e], layout) for b, e in places], bool
    )
    before = np.searchsorted([flaw.offset for flaw in flaws], begins)
    wrong = [
        records.Flaw(number + int(before[number]), int(begins[number]), FOREIGN)
        for number in np.flatnonzero(~ours).tolist()
    ]
    return begins[ours], ends[ours], sorted([*flaws, *wrong])


def _fits(record, layout):
    return len(record) == layout.stride and bool(layout.framed(record[None])[0])

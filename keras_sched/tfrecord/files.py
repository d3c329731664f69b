"""Files of records, mapped into memory."""

import hashlib

import google_crc32c
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from keras_sched._checks import check
from keras_sched.tfrecord import index, records
from keras_sched.tfrecord.layout import FOREIGN

_CHUNK = 2**26


class File:
    """The records of one file; those that are damaged are no records, or raise.

    Left out, they are looked for at once: a file whose checksum is right has none, and
    that is found out at the speed of the memory. Otherwise each is checked when it is
    first read.

    Args:
        directory: Folder of the file.
        shard: `metadata.Shard` that describes it.
        layout: `Layout` of its records, or `None` where their lengths differ.
        skip: Whether damaged records are left out.
    """

    def __init__(self, directory, shard, layout, skip):
        self.path, self.layout = directory / shard.file, layout
        size = self.path.stat().st_size if self.path.is_file() else None
        must = f"whole: {self.path} must be there and {shard.bytes} bytes long"
        must += " (verify tells what is wrong)"
        right = size is not None if skip else size == shard.bytes
        check(right, "load", "directory", must, "no file" if size is None else size)
        self.content = mapped(self.path)
        damaged = skip and not holds(self.path, shard)
        if damaged:
            self.begins, self.ends, _ = sound(self.content, layout)
        elif skip and layout is None:  # Not checked again, so not where an index says.
            self.begins, self.ends, _ = records.walk(self.content)
        elif layout:
            self.begins = np.arange(shard.records) * layout.stride
        else:
            self.begins, self.ends = index.read(self.path, self.content, shard.records)
        self.surplus = max(len(self.begins) - shard.records, 0)
        if self.surplus:
            kept = at_most(shard.records, self.content, self.begins, self.ends)
            self.begins, self.ends = self.begins[kept], self.ends[kept]
        self.count = len(self.begins)
        self.checked = np.full(self.count, skip)
        if layout and self.count:
            self.rows = sliding_window_view(self.content, layout.stride)

    def read(self, numbers):
        """Returns records as rows of bytes; those not read before are checked."""
        rows, new = self.rows[self.begins[numbers]], ~self.checked[numbers]
        if new.any():
            damage = self.layout.damage(rows[new])
            for record, what in zip(numbers[new][damage != ""], damage[damage != ""]):
                self.refuse(record, what)
            self.checked[numbers] = True
        return rows

    def payloads(self, numbers):
        """Returns what records hold, as bytes; those not read before are checked."""
        for number in numbers[~self.checked[numbers]]:
            what = records.damage(self.content, self.begins[number], self.ends[number])
            if what:
                self.refuse(number, what)
            self.checked[number] = True
        places = self.begins[numbers], self.ends[numbers]
        return list(records.payloads(self.content, *places))

    def refuse(self, record, what):
        """Raises an error that names a record."""
        place = f"record {record}, byte {self.begins[record]}"
        raise ValueError(f"{self.path}, {place}: {what}")


def mapped(path):
    """Returns the bytes of a file as an array, without reading them."""
    if not path.stat().st_size:
        return np.empty(0, "uint8")
    return np.memmap(path, "uint8", "r")


def holds(path, shard):
    """Returns whether a file is what the metadata say of a shard."""
    if not path.is_file() or path.stat().st_size != shard.bytes:
        return False
    return checksum(mapped(path)) == shard.crc32c


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


def at_most(count, content, begins, ends):
    """Returns the numbers of so many records of a file that has more than were written.

    Those left out are the last of what stands there twice, and then the last.
    """
    surplus, seen, copies = len(begins) - count, set(), []
    for number, payload in enumerate(records.payloads(content, begins, ends)):
        digest = hashlib.sha256(payload).digest()
        copies += [number] if digest in seen else []
        seen.add(digest)
    left_out = copies[-surplus:] if surplus > 0 else []
    return np.setdiff1d(np.arange(len(begins)), left_out)[:count]


def _fits(record, layout):
    return len(record) == layout.stride and bool(layout.framed(record[None])[0])

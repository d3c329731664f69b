"""TFRecord files, read as the frames they are: each record, or what is wrong with it.

A record is `<u64 length><u32 checksum of it><payload><u32 checksum of the payload>`, and
a file has nothing else: no head, no end, no count. So a file cut between two records
looks whole; whoever knows how many there were has to count.
"""

import functools
import struct
from array import array
from typing import NamedTuple

import google_crc32c
import numpy as np

HEADER, FOOTER = 12, 4
_HEAD, _FOOT = struct.Struct("<QI"), struct.Struct("<I")
_WINDOW = 2**20
_OTHER_KINDS = {
    b"\x1f\x8b": "is compressed by gzip: records are read as they are, so unpack it",
    b"PK\x03\x04": "is a zip archive, no TFRecord file",
}


class Flaw(NamedTuple):
    """One thing that is wrong with a file.

    Attributes:
        record: How many records lie before it.
        offset: At which byte it begins.
        what: What is wrong there.
    """

    record: int
    offset: int
    what: str


def header(length):
    """Returns the first 12 bytes of a record."""
    return _HEAD.pack(length, _checksum(length))


def framed(payload):
    """Returns the bytes of a record."""
    return (
        header(len(payload)) + payload + _FOOT.pack(masked(google_crc32c.value(payload)))
    )


@functools.lru_cache(maxsize=2**16)
def _checksum(length):
    return masked(google_crc32c.value(length.to_bytes(8, "little")))


def masked(crc):
    """Returns a crc32c, or an array of them, as TFRecord stores it."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def scan(content):
    """Returns where the sound records of a file begin, where they end, and its flaws.

    After a record whose length cannot be trusted it goes on at the next sound one.

    Args:
        content: All bytes of the file; anything with the buffer protocol.
    """
    view, begins, ends, flaws = np.frombuffer(content, "u1"), array("Q"), array("Q"), []
    at, size = 0, len(view)
    while at < size:
        what, end = _read(view, at, size)
        if what is None:
            begins.append(at)
            ends.append(end)
        else:
            end = end or _next_sound(view, at + 1)
            if end == size and not view[at:].any():
                what = f"{size - at} bytes of zeros up to the end of the file"
            flaws.append(Flaw(len(begins) + len(flaws), at, what))
        at = end
    if not begins and flaws and (kind := _other_kind(view[:64].tobytes())):
        flaws = [Flaw(0, 0, kind)]
    begins, ends = (np.array(places, "int64") for places in (begins, ends))
    return begins, ends, flaws


def walk(content):
    """Returns where records begin and end by their heads alone, and where that ends.

    That is the length of the file where every head is right.
    """
    view, begins, ends = np.frombuffer(content, "u1"), array("Q"), array("Q")
    at, size = 0, len(view)
    while at + HEADER + FOOTER <= size:
        length, crc = _HEAD.unpack_from(view, at)
        end = at + HEADER + length + FOOTER
        if crc != _checksum(length) or end > size:
            break
        begins.append(at)
        ends.append(end)
        at = end
    return np.array(begins, "int64"), np.array(ends, "int64"), at


def payloads(content, begins, ends):
    """Yields what records hold that begin and end at those places, as bytes."""
    for begin, end in zip(begins.tolist(), ends.tolist()):
        yield content[begin + HEADER : end - FOOTER].tobytes()


def damage(content, begin, end):
    """Returns what is wrong with a record that should begin and end there, or `None`."""
    what, stop = _read(content, int(begin), int(end))
    return what or (None if stop == end else "the record ends elsewhere")


def _read(view, at, size):
    """Returns what is wrong with the record there, if anything is, and where it ends.

    Args:
        view: All bytes of the file, so many in number.
        at: Where the record begins.
        size: How many bytes there are.
    """
    if size - at < HEADER:
        return f"a header cut off after {size - at} of its {HEADER} bytes", size
    length, crc = _HEAD.unpack_from(view, at)
    if crc != _checksum(length):
        return "the length does not match its checksum", None
    end = at + HEADER + length + FOOTER
    if end > size:
        return f"a record of {end - at} bytes, of which {size - at} are there", None
    (crc,) = _FOOT.unpack_from(view, end - FOOTER)
    if crc != masked(google_crc32c.value(view[at + HEADER : end - FOOTER])):
        return "the payload does not match its checksum", end
    return None, end


def _next_sound(view, at):
    """Returns where the next record begins that is sound as a whole, or the size."""
    size = len(view)
    stop = size - HEADER - FOOTER + 1
    for first in range(at, stop, _WINDOW):
        for place in _heads(view, first, min(_WINDOW, stop - first)):
            if _read(view, place, size)[0] is None:
                return place
    return size


def _heads(view, first, count):
    """Returns where, of so many bytes from the first on, a length has its checksum."""
    spread = dict(shape=(count,), buffer=view, strides=(1,))
    lengths = np.ndarray(dtype="<u8", offset=first, **spread)
    crcs = np.ndarray(dtype="<u4", offset=first + 8, **spread)
    likely = (lengths <= len(view)) & ((lengths > 0) | (crcs == _checksum(0)))
    (likely,) = np.nonzero(likely)  # Few, in a desert of zeros too.
    found, which = np.unique(lengths[likely], return_inverse=True)
    right = np.array([_checksum(int(length)) for length in found], "uint32")
    return first + likely[crcs[likely] == right[which]]


def _other_kind(begin):
    """Returns what a file of another kind is, or `None`."""
    for magic, kind in _OTHER_KINDS.items():
        if begin.startswith(magic):
            return kind
    text = begin.isascii() and all(chr(b).isprintable() or b in b"\t\r\n" for b in begin)
    return "is text, no TFRecord file" if text else None

"""Where the records of a file begin: a line each, as DALI and `tfrecord2idx` write it."""

import numpy as np

from keras_sched import _atomic
from keras_sched._checks import check
from keras_sched.tfrecord import records

_LEAST = records.HEADER + records.FOOTER


def path_of(file):
    """Returns the path of the index of a file of records."""
    return file.with_name(file.name + ".idx")


def write(file, lengths):
    """Writes the index of a file, given how long each of its records is."""
    ends = np.cumsum(lengths, dtype="int64")
    places = zip((ends - lengths).tolist(), np.asarray(lengths).tolist())
    text = "".join(f"{begin} {length}\n" for begin, length in places)
    _atomic.write_text(path_of(file), text)


def read(file, content, count):
    """Returns where the records of a file begin and end.

    An index that is not there, or not of this file, is found anew from the heads of the
    records, whose payloads are not read.

    Args:
        file: Path of the file.
        content: Its bytes.
        count: How many records it has.

    Raises:
        ValueError: If the heads lead nowhere.
    """
    begins, lengths = _read(file)
    ends = begins + lengths
    whole = len(begins) == count and (lengths >= _LEAST).all()
    whole = whole and ends[-1:].sum() == len(content)
    if whole and (begins[1:] == ends[:-1]).all() and begins[:1].sum() == 0:
        return begins, ends
    begins, ends, end = records.walk(content)
    must = "whole (verify tells what is wrong)"
    right = end == len(content) and len(begins) == count
    check(right, "load", "directory", must, f"{file}, byte {end}")
    return begins, ends


def is_right(file, content, count):
    """Returns whether a file that is whole has the index it should have."""
    begins, ends, end = records.walk(content)
    if end < len(content) or len(begins) != count:
        return True  # The file is what is wrong.
    there, lengths = _read(file)
    return np.array_equal(there, begins) and np.array_equal(there + lengths, ends)


def _read(file):
    """Returns where records begin and how long they are, by the index of a file."""
    try:
        text = path_of(file).read_bytes()
        return np.array(text.split(), "int64").reshape(-1, 2).T
    except (OSError, ValueError, OverflowError):
        return np.empty((2, 0), "int64")

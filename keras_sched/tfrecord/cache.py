"""Decoded records, kept in memory by their numbers."""

import math
import os

import numpy as np

_SHARE = 0.5


class Cache:
    """The fields of records of one shape, as they are decoded, once they have been.

    Args:
        count: How many records there are.
        shapes: Shape of each field.
        dtypes: Dtype of each field; strings are objects.
    """

    def __init__(self, count, shapes, dtypes):
        self.arrays = [np.empty((count, *s), d) for s, d in zip(shapes, dtypes)]
        self.held = np.zeros(count, bool)

    def has(self, index):
        """Returns whether all these records are there."""
        return np.bool_(self.held[index].all())

    def get(self, index):
        """Returns their fields."""
        return [array[index] for array in self.arrays]

    def put(self, index, *values):
        """Keeps their fields."""
        for array, value in zip(self.arrays, values):
            array[index] = value
        self.held[index] = True
        return np.bool_(True)


def nbytes(count, shapes, dtypes):
    """Returns how many bytes that would take."""
    sizes = (math.prod(s) * np.dtype(d).itemsize for s, d in zip(shapes, dtypes))
    return count * sum(sizes)


def fits(size):
    """Returns whether so many bytes are at most half of the memory that is free."""
    return size <= _SHARE * free_memory()


def free_memory():
    """Returns how many bytes of memory may be had without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":") for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

"""What a record holds: its fields, in memory, on the wire and in TFDS's words."""

import dataclasses
import json
import math

import numpy as np

from keras_sched._checks import check

_TENSOR = "tensorflow_datasets.core.features.tensor_feature.Tensor"
_SCALAR = "tensorflow_datasets.core.features.scalar.Scalar"
_DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of every record.

    Integer scalars are written as `int64_list`, so that any reader has them as numbers;
    all else as the raw little-endian bytes of the array, which loses nothing.
    """

    name: str
    dtype: str
    shape: tuple

    @property
    def is_integer(self):
        return self.shape == () and self.dtype in _INT64_HOLDS

    @property
    def nbytes(self):
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def to_tfds(self):
        """Returns the field as `features.json` has it."""
        tensor = {
            "shape": {"dimensions": [str(n) for n in self.shape]} if self.shape else {},
            "dtype": self.dtype,
            "encoding": "none" if self.is_integer else "bytes",
        }
        kind = _SCALAR if self.is_integer else _TENSOR
        return {"pythonClassName": kind, "tensor": tensor}


_INT64_HOLDS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
_DTYPES = (*_INT64_HOLDS, "uint64", "float16", "float32", "float64", "bool")


def infer(arrays):
    """Returns the fields that a dict of arrays holds, in order of name.

    Raises:
        ValueError: For what is not an array of numbers, or arrays of unequal length.
    """
    check(arrays, "convert", "source", "at least one array", arrays)
    for name, array in arrays.items():
        _check_field(name, array)
    lengths = {name: len(array) for name, array in arrays.items()}
    equal = len(set(lengths.values())) == 1 and min(lengths.values()) > 0
    check(equal, "convert", "source", "arrays of one length, not empty", lengths)
    names = sorted(arrays)
    return tuple(Field(n, arrays[n].dtype.name, arrays[n].shape[1:]) for n in names)


def _check_field(name, array):
    usable = isinstance(name, str) and name and "/" not in name
    check(usable, "convert", "source", "named by strings without a slash", name)
    known = array.dtype.name in _DTYPES and array.dtype.isnative
    must = "arrays of integers, floats or booleans, 64 bits at most, in native byte order"
    check(known, "convert", "source", must, {name: array.dtype})
    check(array.ndim, "convert", "source", "arrays of at least one axis", {name: array})


def features_json(fields):
    """Returns the text of TFDS's `features.json`."""
    features = {field.name: field.to_tfds() for field in fields}
    content = {"pythonClassName": _DICT, "featuresDict": {"features": features}}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"

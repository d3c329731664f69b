"""What a record holds: its fields, in memory, on the wire and in TFDS's words."""

import collections
import dataclasses
import json
import math

import ml_dtypes  # noqa: F401  NumPy knows bfloat16 by name once this is loaded.
import numpy as np

from keras_sched._checks import check
from keras_sched.tfrecord.structure import pack
from keras_sched.tfrecord.words import many

_FEATURES = "tensorflow_datasets.core.features."
_TENSOR = _FEATURES + "tensor_feature.Tensor"
_SCALAR = _FEATURES + "scalar.Scalar"
_CLASS_LABEL = _FEATURES + "class_label_feature.ClassLabel"
_IMAGE = _FEATURES + "image_feature.Image"
_SEQUENCE = _FEATURES + "sequence_feature.Sequence"
_DICT = _FEATURES + "features_dict.FeaturesDict"

_INT64_HOLDS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
_FLOATS = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
DTYPES = (*_INT64_HOLDS, "uint64", *_FLOATS, "bool")
_VARINT = 10  # Of any integer, padded, so that all have one length.
_TFDS_DECODES = {"jpeg", "png", "bmp"}  # Of others it keeps a dimension for frames.


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of every record.

    Attributes:
        name: Its name; those inside of dicts are joined by slashes.
        dtype: That of the values, as text; "string" for text and bytes.
        shape: Tuple of int, and of `None` where records differ.
        encoding: "integer", an `int64_list`; "float", a `float_list`, which only others
            write; "raw", the little-endian bytes of the array, which loses nothing;
            "string", a `bytes_list`; "image", the bytes of an image file.
        labels: Names of the classes that integers stand for.
        formats: Of which formats the images of the records are, where that is known.
    """

    name: str
    dtype: str
    shape: tuple
    encoding: str
    labels: tuple = ()
    formats: tuple = ()

    @classmethod
    def of(cls, name, dtype, shape, labels=()):
        """Returns the field for arrays of a dtype and shape."""
        if any(n is None for n in shape) and 0 in shape:
            shape = (None,) * len(shape)  # The length would not tell which is how long.
        is_integer = shape == () and dtype in _INT64_HOLDS
        encoding = "integer" if is_integer else "raw"
        return cls(
            name, dtype, shape, "string" if dtype == "string" else encoding, labels
        )

    @property
    def nbytes(self):
        """How many bytes its data have in every record, or `None` where they differ."""
        if self.encoding == "integer" and self.shape == ():
            return _VARINT
        if self.encoding == "raw" and None not in self.shape:
            return math.prod(self.shape) * np.dtype(self.dtype).itemsize
        return None

    @property
    def is_shaped(self):
        """Whether the array that it becomes has one shape in all records."""
        return None not in self.shape

    @property
    def stores_shape(self):
        """Whether each record says which shape its array has."""
        return self.encoding == "raw" and self.shape.count(None) > 1

    def to_tfds(self):
        """Returns the field as `features.json` has it."""
        if self.labels:
            count = {"numClasses": str(len(self.labels))}
            return {"pythonClassName": _CLASS_LABEL, "classLabel": count}
        if self.encoding == "image" and set(self.formats) <= _TFDS_DECODES:
            image = {"shape": _dimensions(self.shape), "dtype": self.dtype}
            if len(self.formats) == 1:
                image["encodingFormat"] = self.formats[0].replace("bmp", "")
            return {"pythonClassName": _IMAGE, "image": image}
        if self.encoding == "image":
            return Field.of(self.name, "string", ()).to_tfds()
        if self.encoding != "raw" and None in self.shape:
            inner = dataclasses.replace(self, shape=self.shape[1:]).to_tfds()
            sequence = {"feature": inner, "length": "-1"}
            return {"pythonClassName": _SEQUENCE, "sequence": sequence}
        tensor = {
            "shape": _dimensions(self.shape),
            "dtype": self.dtype,
            "encoding": "bytes" if self.encoding == "raw" else "none",
        }
        is_scalar = self.encoding in ("integer", "float") and self.shape == ()
        return {"pythonClassName": _SCALAR if is_scalar else _TENSOR, "tensor": tensor}

    def __str__(self):
        shape = ", ".join("?" if n is None else str(n) for n in self.shape)
        shape += "," if len(self.shape) == 1 else ""
        kind = " as image" if self.encoding == "image" else ""
        classes = f", {many(len(self.labels), 'class')}" if self.labels else ""
        return f"{self.name}: {self.dtype} ({shape}){kind}{classes}"


def _dimensions(shape):
    dimensions = ["-1" if n is None else str(n) for n in shape]
    return {"dimensions": dimensions} if dimensions else {}


def column(name, values):
    """Returns one field's values of many records, and the `Field` that holds them.

    Args:
        name: Name of the field.
        values: Array of the records' values, or anything with one for each. Strings,
            and arrays that differ in shape, come back as a list.

    Raises:
        ValueError: For what cannot be written.
    """
    usable = isinstance(name, str) and name
    check(usable, "convert", "source", "named by strings", name)
    if not isinstance(values, np.ndarray):
        values = list(values) if isinstance(values, tuple) else values
        is_list = isinstance(values, list)
        if is_list and any(isinstance(value, (str, bytes)) for value in values):
            return _listed(name, values)
        values = array(values)
    if values.ndim and values.dtype.kind in "OUS":
        return _listed(name, list(values))
    known = values.dtype.name in DTYPES and values.dtype.isnative
    must = "arrays of integers, floats, booleans or strings, in native byte order"
    check(known, "convert", "source", must, {name: values.dtype})
    check(values.ndim, "convert", "source", "arrays of at least one axis", {name: values})
    return values, Field.of(name, values.dtype.name, values.shape[1:])


def array(values):
    """Returns values as an array: of objects if they differ in shape, or are strings."""
    try:
        found = np.asarray(values)
    except ValueError:
        values = list(values)
        found = np.empty(len(values), object)
        found[:] = values
        return found
    # NumPy's own strings lose the zeros at their ends.
    return np.array(values, object) if found.dtype.kind in "US" else found


def kind(array):
    """Returns the dtype of an array as text, "string" where it has nothing else."""
    if array.dtype.kind in "OUS" and all(
        isinstance(value, (str, bytes)) for value in array.flat
    ):
        return "string"
    return array.dtype.name


def _listed(name, values):
    """Returns values that make no array of numbers, and the `Field` that holds them."""
    if all(isinstance(value, (str, bytes)) for value in values):
        return values, Field.of(name, "string", ())
    must = "values of strings, or of arrays of one dtype and rank"
    sound = all(isinstance(v, (np.ndarray, list, tuple, np.generic)) for v in values)
    check(sound, "convert", "source", must, {name: type(values[0]).__name__})
    arrays = [array(value) for value in values]
    typed = [a for a, v in zip(arrays, values) if a.size or isinstance(v, np.ndarray)]
    dtypes = {kind(one) for one in typed or arrays}
    given = any(isinstance(value, np.ndarray) for value in values)
    if not given and dtypes == {"int64", "float64"}:
        dtypes = {"float64"}
    ranks = {one.ndim for one in arrays}
    same = len(dtypes) == 1 and len(ranks) == 1
    same = same and dtypes <= {*DTYPES, "string"}
    check(same, "convert", "source", must, {name: sorted(dtypes | ranks, key=str)})
    shape = merged_shape(one.shape for one in arrays)
    (dtype,) = dtypes
    fits = dtype != "string" or None not in shape[1:]
    check(fits, "convert", "source", "strings in lists, or in arrays of one shape", name)
    if dtype != "string":
        arrays = [one.astype(dtype, copy=False) for one in arrays]
    return arrays, Field.of(name, dtype, shape)


def check_classes(name, labels):
    """Refuses names of classes that TFDS, which has a line for each, would count less."""
    named = [label.strip() for label in labels]
    odd = [a for a, b in zip(labels, named) if not b or "\n" in b or not is_text(b)]
    odd = odd or [name for name, many in collections.Counter(named).items() if many > 1]
    must = "of classes whose names are one line of text each, and differ"
    check(not odd, "convert", "source", must, {name: odd[:2]})


def is_text(name):
    """Returns whether a name, which may come from a disk, can be written as UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def merged_shape(shapes):
    """Returns what shapes of one rank have in common, with `None` where they differ."""
    sides = (set(side) for side in zip(*set(shapes)))
    return tuple(side.pop() if len(side) == 1 else None for side in sides)


def features_json(fields):
    """Returns the text of TFDS's `features.json`."""
    tree = pack({field.name: field.to_tfds() for field in fields}, None)
    return json.dumps(_features_dict(tree), indent=2, sort_keys=True) + "\n"


def _features_dict(tree):
    features = {
        name: inner if "pythonClassName" in inner else _features_dict(inner)
        for name, inner in tree.items()
    }
    return {"pythonClassName": _DICT, "featuresDict": {"features": features}}


def from_tfds(features):
    """Returns the fields of features by name, as a `features.json` has them.

    Raises:
        ValueError: For features that are no dense tensors, naming them.
    """
    content = {"pythonClassName": _DICT, "featuresDict": {"features": features}}
    return tuple(sorted(_fields("", content), key=lambda field: field.name))


def _fields(name, content):
    kind = content["pythonClassName"].rpartition(".")[2]
    if "featuresDict" in content:
        for key, inner in content["featuresDict"]["features"].items():
            yield from _fields(f"{name}/{key}".lstrip("/"), inner)
    elif "classLabel" in content:
        labels = tuple(map(str, range(int(content["classLabel"].get("numClasses", 0)))))
        yield Field(name, "int64", (), "integer", labels)
    elif "text" in content:
        yield Field(name, "string", (), "string")
    elif "image" in content:
        dtype = content["image"].get("dtype", "uint8")
        must = "of images of uint8 or uint16"
        check(dtype in ("uint8", "uint16"), "tfrecord", "directory", must, {name: dtype})
        yield Field(name, dtype, _shape(content["image"]), "image")
    elif "sequence" in content:
        inner, *others = _fields(name, content["sequence"]["feature"])
        plain = inner.encoding in ("integer", "float", "string")
        known = not others and inner.is_shaped and plain
        check(known, "tfrecord", "directory", "of features that are known", {name: kind})
        length = int(content["sequence"].get("length", -1))
        shape = (None if length < 0 else length, *inner.shape)
        yield dataclasses.replace(inner, shape=shape, labels=())
    else:
        tensor = content.get("tensor")
        check(tensor, "tfrecord", "directory", "of features that are known", {name: kind})
        dtype, way = tensor["dtype"], tensor.get("encoding", "none")
        must = "of tensors that are not compressed"
        check(way in ("none", "bytes"), "tfrecord", "directory", must, {name: way})
        wire = "float" if dtype in _FLOATS else "integer"
        wire = "string" if dtype == "string" else wire
        yield Field(name, dtype, _shape(tensor), "raw" if way == "bytes" else wire)


def _shape(content):
    sides = map(int, content.get("shape", {}).get("dimensions", ()))
    return tuple(None if side < 0 else side for side in sides)

"""A `Dataset` of Hugging Face's `datasets`, whose images stay as they are stored."""

import dataclasses

from keras_sched._checks import check
from keras_sched.tfrecord.schema import Field
from keras_sched.tfrecord.sources.base import Names, Rows, fitted

_STRINGS = ("string", "large_string", "binary", "large_binary")


class HuggingFace(Rows):
    """Rows of a `datasets.Dataset`.

    Args:
        dataset: The dataset.
    """

    workers = None

    def __init__(self, dataset):
        import datasets

        raw = datasets.Image(decode=False)
        for name, feature in dataset.features.items():
            if isinstance(feature, datasets.Image):
                dataset = dataset.cast_column(name, raw)
        self.dataset, self.count = dataset.with_format(None), len(dataset)
        check(self.count, "convert", "source", "a dataset with rows", self.count)
        names = sorted(dataset.features)
        self.fields = tuple(_field(name, dataset.features[name]) for name in names)
        self.nbytes = dataset.data.nbytes if dataset._indices is None else None
        pictures = [field.name for field in self.fields if field.encoding == "image"]
        has_label = "label" in dataset.features
        self.nest = (pictures[0], "label") if len(pictures) == 1 and has_label else None

    def part(self, start, stop):
        return Part(self.dataset, self.fields, start, stop)


@dataclasses.dataclass(frozen=True)
class Part:
    """Some of its rows."""

    dataset: object
    fields: tuple
    start: int
    stop: int

    def pieces(self):
        """Yields the rows."""
        for first in range(self.start, self.stop, 256):
            columns = self.dataset[first : min(first + 256, self.stop)]
            for field in self.fields:
                if field.encoding == "image":
                    columns[field.name] = list(map(_content, columns[field.name]))
            rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
            yield fitted(self.fields, rows, Names("row", first))

    def fingerprint(self):
        """Returns what the dataset says of its state, and which rows these are."""
        return f"hugging face {self.dataset._fingerprint} {self.start} {self.stop}"


def _content(image):
    if image is None:
        return None
    if image["bytes"] is not None:
        return image["bytes"]
    try:
        with open(image["path"], "rb") as file:
            return file.read()
    except OSError as error:
        return error  # Told of the row that it is in.


def _field(name, feature):
    kind = type(feature).__name__
    if kind == "ClassLabel":
        return Field.of(name, "int64", (), tuple(feature.names))
    if kind == "Image":
        return Field(name, "uint8", (None,) * 3, "image")
    if kind == "Value":
        return Field.of(name, _dtype(name, feature.dtype), ())
    if kind in ("Array2D", "Array3D", "Array4D", "Array5D"):
        return Field.of(name, _dtype(name, feature.dtype), tuple(feature.shape))
    inner = getattr(feature, "feature", None)
    known = kind in ("Sequence", "List", "LargeList") and inner is not None
    must = "of numbers, strings, classes, images, and arrays and lists of these"
    check(known, "convert", "source", must, {name: feature})
    inner, length = _field(name, inner), getattr(feature, "length", -1)
    plain = inner.encoding != "image" and inner.is_shaped
    check(plain, "convert", "source", must, {name: feature})
    return Field.of(name, inner.dtype, (None if length < 0 else length, *inner.shape))


def _dtype(name, dtype):
    dtype = {"bool_": "bool", "double": "float64", "float": "float32"}.get(dtype, dtype)
    if dtype in _STRINGS:
        return "string"
    known = dtype in ("bool", "float16", "float32", "float64") or "int" in dtype
    check(known, "convert", "source", "of numbers and strings", {name: dtype})
    return dtype

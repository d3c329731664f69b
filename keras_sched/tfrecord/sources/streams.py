"""Rows that come one after another: tf.data, TFDS, iterables of dicts."""

import collections
import dataclasses
import itertools

import numpy as np

from keras_sched._checks import check
from keras_sched.tfrecord import schema
from keras_sched.tfrecord.schema import Field
from keras_sched.tfrecord.sources.base import (
    PIECE_BYTES,
    PIECE_ROWS,
    Names,
    Piece,
    Source,
    column,
    fitted,
    infer,
)
from keras_sched.tfrecord.structure import flatten, pack

_SAMPLE = 1000


class Dataset(Source):
    """A `tf.data.Dataset`, an element a row.

    Args:
        dataset: The dataset.
        fields: Tuple of `schema.Field`, or `None` for what the dataset says of itself.
        nest: As `Source` has it, where the fields are given.
        nbytes: As `Source` has it, where that is known.
    """

    def __init__(self, dataset, fields=None, nest=None, nbytes=None):
        specs, own_nest = flatten(dataset.element_spec, _rank)
        for name, spec in specs.items():
            dense = type(spec).__name__ == "TensorSpec" and spec.shape.rank is not None
            must = "a dataset of dense tensors of known rank"
            check(dense, "convert", "source", must, {name: spec})
        self.dataset, self.nest = dataset, nest if fields else own_nest
        self.nbytes = nbytes
        self.rank = 3 if "image" in specs else 0
        self.fields = fields or tuple(_field(*item) for item in specs.items())
        count = int(dataset.cardinality())
        check(count != -1, "convert", "source", "a dataset that has an end", "repeat()")
        self.count = count if count >= 0 else None
        each = [field.nbytes for field in self.fields]
        if self.count and None not in each:
            self.nbytes = self.count * (sum(each) + 64)

    def pieces(self):
        each = [field.nbytes for field in self.fields]
        alike, first = None not in each, 0
        rows = max(1, min(PIECE_ROWS, PIECE_BYTES // max(sum(each), 1))) if alike else 64
        dataset = self.dataset.batch(rows) if alike else self.dataset
        elements = (
            flatten(one, lambda leaf: self.rank)[0] for one in dataset.as_numpy_iterator()
        )
        if not alike:
            elements = (self._columns(some) for some in _batched(elements, rows))
        for columns in elements:
            piece = Piece(columns, Names("element", first))
            first += piece.length
            yield piece

    def first(self):
        one = Dataset(self.dataset.take(1), self.fields, self.nest, self.nbytes)
        return next(one.pieces())

    def _columns(self, rows):
        return {
            field.name: column(field, [row[field.name] for row in rows])
            for field in self.fields
        }


class Dicts(Source):
    """An iterable of dicts, a dict a row.

    Args:
        rows: The iterable. Its fields are those of the first thousand rows; of a list,
            of all.
    """

    def __init__(self, rows):
        self.count = len(rows) if hasattr(rows, "__len__") else None
        self.rows = iter(rows)
        self.sample = list(itertools.islice(self.rows, self.count or _SAMPLE))
        check(self.sample, "convert", "source", "of at least one row", self.sample)
        flat = [_flat(row) for row in self.sample]
        kinds = list(map(_kinds, flat))
        most = collections.Counter(kinds).most_common(1)[0][0]
        check(most, "convert", "source", "an iterable of dicts", self.sample[0])
        alike = [row for row, one in zip(flat, kinds) if _alike(one, most)]
        _, self.fields = infer({name: [row[name] for row in alike] for name in alike[0]})

    def pieces(self):
        rows = itertools.chain(self.sample, self.rows)
        first = 0
        for some in _batched(rows, 256):
            yield fitted(self.fields, map(_flat, some), Names("row", first))
            first += len(some)

    def first(self):
        return fitted(self.fields, list(map(_flat, self.sample)), Names("row"))


def tfds(builder, split):
    """Returns the source of one split of a builder of TFDS: images as they are stored."""
    import tensorflow_datasets

    features, skip = builder.info.features, {}
    fields = []
    for field in schema.from_tfds(features.to_json()["content"]["features"]):
        if field.encoding == "image":
            skip[field.name] = tensorflow_datasets.decode.SkipDecoding()
            fields.append(dataclasses.replace(field, shape=(None,) * 3))
            continue
        labels = ()
        if field.labels:
            labels = tuple(_feature(features, field.name).names)
        fields.append(Field.of(field.name, field.dtype, field.shape, labels))
    data = builder.as_dataset(
        split=split,
        decoders=pack(skip, None),
        shuffle_files=False,
        read_config=tensorflow_datasets.ReadConfig(interleave_cycle_length=1),
    )
    nbytes = builder.info.splits[split].num_bytes
    return Dataset(data, tuple(fields), builder.info.supervised_keys, nbytes)


def _feature(features, name):
    for key in name.split("/"):
        features = features[key]
    return features


def _field(name, spec):
    known = spec.dtype.name in (*schema.DTYPES, "string")
    check(known, "convert", "source", "of numbers and strings", {name: spec})
    return Field.of(name, spec.dtype.name, tuple(spec.shape))


def _flat(row):
    return flatten(row, lambda leaf: 0)[0] if isinstance(row, dict) and row else row


def _kinds(row):
    """Returns of which kind of array each field is; whole numbers may be floats too."""
    if not isinstance(row, dict):
        return None
    return tuple((name, *_kind(row[name])) for name in sorted(row, key=str))


def _kind(value):
    """Returns the rank of a value, and of what it is; of an empty list, `None`."""
    array = schema.array(value)
    if not array.size and not isinstance(value, np.ndarray):
        return array.ndim, None
    kind = "string" if schema.kind(array) == "string" else array.dtype.kind
    return array.ndim, "f" if kind == "i" else kind


def _alike(one, other):
    """Returns whether rows of these kinds have the same fields."""
    return (
        one is not None
        and len(one) == len(other)
        and all(
            a[:2] == b[:2] and (a[2] == b[2] or None in (a[2], b[2]))
            for a, b in zip(one, other)
        )
    )


def _rank(spec):
    return getattr(getattr(spec, "shape", None), "rank", None) or 0


def _batched(rows, count):
    rows = iter(rows)
    while some := list(itertools.islice(rows, count)):
        yield some

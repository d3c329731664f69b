"""What every source of records is, and how its rows become columns."""

import abc
from typing import NamedTuple

import numpy as np

from keras_sched.tfrecord import schema

PIECE_BYTES = 2 * 2**20  # What is copied, checked and written at once stays near.
PIECE_ROWS = 1024
_SAMPLE = 32


class Piece(NamedTuple):
    """Some rows, one after another.

    Attributes:
        columns: By name, an array or a list with one value for each row.
        rows: What each row is called, where a user looks for it.
        rejects: Pairs: what a row is called that is left out, and why.
    """

    columns: dict
    rows: object
    rejects: tuple = ()

    @property
    def length(self):
        """How many rows there are, without those left out."""
        return len(next(iter(self.columns.values())))


class Source(abc.ABC):
    """What can be converted: rows of fields.

    Attributes:
        fields: Tuple of `schema.Field`, in order of name.
        nest: Structure of their names that `load` gives, or `None` for dicts.
        count: How many rows there are, or `None` where that is not known.
        nbytes: How many bytes they have, about, or `None`.
        workers: How many processes are worth while, or `None` for one a core.
    """

    nest = None
    count = None
    nbytes = None
    workers: int | None = 1

    @abc.abstractmethod
    def pieces(self):
        """Yields all rows as `Piece`."""

    def first(self):
        """Returns the first row, or some of the first, as a `Piece`."""
        return next(self.pieces())


class Rows(Source):
    """A source of which any rows can be had, in any process."""

    @abc.abstractmethod
    def part(self, start, stop):
        """Returns rows `start` to `stop`: something small with `pieces`, that pickles.

        It has `fingerprint()`, a text that other rows would not have, or `None`.
        """

    def pieces(self):
        return self.part(0, self.count).pieces()

    def first(self):
        return next(self.part(0, 1).pieces())


class Names:
    """What rows are called by their numbers."""

    def __init__(self, noun, first=0):
        self.noun, self.first = noun, first

    def __getitem__(self, number):
        return f"{self.noun} {self.first + number}"


def fitted(fields, rows, names):
    """Returns a `Piece` of rows that are dicts; those that do not fit are its rejects.

    Args:
        fields: Tuple of `schema.Field`.
        rows: List of dicts of values by the fields' names.
        names: What each row is called, by its number.
    """
    kept, called, rejects = [], [], []
    for number, row in enumerate(rows):
        try:
            kept.append(_fit(fields, row))
            called.append(names[number])
        except (ValueError, TypeError, OverflowError) as error:
            rejects.append((names[number], str(error)))
    columns = {
        field.name: column(field, [row[number] for row in kept])
        for number, field in enumerate(fields)
    }
    return Piece(columns, called, tuple(rejects))


def _fit(fields, row):
    if not isinstance(row, dict):
        raise ValueError(f"is no dict, but of type {type(row).__name__}")
    names = {field.name for field in fields}
    if row.keys() != names:
        raise ValueError(f"has the fields {sorted(row, key=str)}, not {sorted(names)}")
    return [_fit_value(field, row[field.name]) for field in fields]


def _fit_value(field, value):
    """Returns a value as the field's dtype and shape, or says why it is none."""
    if isinstance(value, OSError):
        raise ValueError(f"`{field.name}`: {value.strerror}")
    if field.encoding == "image" or (field.dtype == "string" and not field.shape):
        if isinstance(value, (str, bytes)):
            return value
        raise ValueError(f"`{field.name}` is of type {type(value).__name__}, no bytes")
    array = schema.array(value)
    if field.dtype == "string":
        sound = not array.size or schema.kind(array) == "string"
    elif isinstance(value, (np.ndarray, np.generic)):
        sound = array.dtype.name == field.dtype
    else:
        sound = array.dtype.kind in "biufc" and _holds(field.dtype, array)
        array = array.astype(field.dtype) if sound else array
    if not sound:
        raise ValueError(f"`{field.name}` is not of dtype {field.dtype}: {value!r:.80}")
    shaped = len(array.shape) == len(field.shape)
    if not shaped or any(n not in (None, m) for n, m in zip(field.shape, array.shape)):
        raise ValueError(f"`{field.name}` is of shape {array.shape}, not {field.shape}")
    return array


def _holds(dtype, array):
    """Returns whether a dtype holds numbers; of floats, but for digits of them."""
    to = np.dtype(dtype).kind
    if array.dtype.kind in "fc" and to not in "biu":
        return to == "c" or array.dtype.kind == "f"
    if array.dtype.kind == "c":
        return False
    with np.errstate(invalid="ignore"):
        back = array.astype(dtype).astype(array.dtype)
    return bool((back == array).all())


def column(field, values):
    """Returns values that fit a field as an array, or as a list where they differ."""
    if field.dtype != "string" and field.encoding != "image" and field.is_shaped:
        return np.array(values, field.dtype).reshape(len(values), *field.shape)
    return values


def picked(column, numbers):
    """Returns those values of a column."""
    if isinstance(column, np.ndarray):
        return column[numbers]
    return [column[number] for number in numbers]


def infer(columns):
    """Returns columns by name, and the fields that hold them, in order of name."""
    found = {name: schema.column(name, columns[name]) for name in sorted(columns)}
    return {n: c for n, (c, _) in found.items()}, tuple(f for _, f in found.values())


def nbytes(column):
    """Returns how many bytes the values of a column have."""
    if isinstance(column, np.ndarray):
        return column.nbytes
    return sum(v.nbytes if isinstance(v, np.ndarray) else len(v) for v in column)


def sample(count):
    """Returns numbers of rows, far from one another, by which the others are judged."""
    return sorted({count * number // _SAMPLE for number in range(_SAMPLE)})

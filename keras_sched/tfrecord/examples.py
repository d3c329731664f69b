"""Records of several lengths: a `tf.train.Example` each, as any writer would write it."""

import numpy as np

from keras_sched.tfrecord.layout import BYTES, INT64, entry, message, to_varints
from keras_sched.tfrecord.records import framed


def encode(fields, columns):
    """Returns framed records, one after another, and how long each is.

    Args:
        fields: Tuple of `schema.Field`, in order of name.
        columns: By name, an array or a list of what each record holds.
    """
    entries = (_entries(field, columns[field.name]) for field in fields)
    records = [framed(message(1, b"".join(parts))) for parts in zip(*entries)]
    return np.frombuffer(b"".join(records), "uint8"), [len(one) for one in records]


def _entries(field, column):
    """Yields the bytes by which each record has the field among its features."""
    if field.encoding == "integer":
        for row in to_varints(np.asarray(column)):
            yield entry(field.name, INT64, message(1, row.tobytes()))
    elif field.encoding == "raw":
        for value in column:
            value = np.ascontiguousarray(value)
            content = message(1, value.tobytes())
            if field.stores_shape:
                sides = to_varints(np.array(value.shape)).tobytes()
                shape = entry(f"{field.name}/shape", INT64, message(1, sides))
                yield shape + entry(f"{field.name}/value", BYTES, content)
            else:
                yield entry(field.name, BYTES, content)
    else:
        has_several = field.encoding == "string" and field.shape
        for value in column:
            several = np.ravel(value) if has_several else (value,)
            values = b"".join(message(1, _bytes(value)) for value in several)
            yield entry(field.name, BYTES, values)


def _bytes(value):
    return value.encode() if isinstance(value, str) else bytes(value)

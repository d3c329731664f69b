"""Records of one length: a TFRecord file whose bytes are a NumPy array.

The payload of a record is a `tf.train.Example`. Where all fields have one shape, the
only thing that would make lengths differ is integers of variable length. They may be
padded with zero groups and stay legal, so they are written ten bytes wide; then all
records of a file differ in their data alone, at the same places, and a file is an array
of structures.
"""

import functools

import google_crc32c
import numpy as np

from keras_sched.tfrecord.records import FOOTER, HEADER, header, masked

FOREIGN = "the framing is not what the fields call for"
BYTES, INT64 = 1, 3  # The numbers of these kinds of lists in a feature.


def of(fields):
    """Returns the `Layout` of fields, or `None` where lengths of records differ."""
    fixed = all(field.nbytes is not None for field in fields)
    return Layout(fields) if fixed else None


class Layout:
    """Where each field of a record stands, and the bytes that all records share.

    Args:
        fields: Tuple of `schema.Field`, in order of name.
    """

    def __init__(self, fields):
        self.fields = fields
        payload, self.offsets = _example(fields)
        template = header(len(payload)) + payload + bytes(FOOTER)
        self.template = np.frombuffer(template, "uint8")
        self.stride = len(template)

    @functools.cached_property
    def dtype(self):
        """The structured dtype of one record as it stands in the file."""
        formats = [_stored(field) for field in self.fields]
        names = [str(index) for index in range(len(self.fields))]
        return np.dtype(
            {
                "names": [*names, "header", "payload", "crc"],
                "formats": [*formats, f"V{HEADER}", f"V{self.stride - 16}", "<u4"],
                "offsets": [*self.offsets, 0, HEADER, self.stride - FOOTER],
                "itemsize": self.stride,
            }
        )

    @property
    def dtypes(self):
        return [np.dtype(field.dtype) for field in self.fields]

    def encode(self, arrays):
        """Returns the records of a dict of arrays, framed: `(n, stride)`, uint8."""
        count = len(next(iter(arrays.values())))
        block = np.tile(self.template, (count, 1))
        records = block.view(self.dtype)[:, 0]
        for index, field in enumerate(self.fields):
            array = arrays[field.name]
            stored = to_varints(array) if field.encoding == "integer" else array
            records[str(index)] = stored.reshape(records[str(index)].shape)
        records["crc"] = self.checksums(block)
        return block

    def checksums(self, block):
        """Returns the checksum that each record of a block should carry."""
        payloads = block[:, HEADER:-FOOTER]
        values = [google_crc32c.value(payload) for payload in payloads]
        return masked(np.array(values, "uint32"))

    def decode(self, records, index):
        """Returns field number `index` of structured records, as it was given."""
        field = self.fields[index]
        stored = records[str(index)]
        if field.encoding == "integer":
            return from_varints(stored, field.dtype)
        return np.ascontiguousarray(stored)

    def damage(self, block):
        """Returns what is wrong with each record of a block: "" where nothing is."""
        framed = self.framed(block)
        sound = block.view(self.dtype)[:, 0]["crc"] == self.checksums(block)
        found = np.where(sound, "", "the payload does not match its checksum")
        return np.where(framed, found, FOREIGN)

    def framed(self, block):
        """Returns which records of a block have the framing that the fields call for."""
        shared = self._shared
        return (block[:, shared] == self.template[shared]).all(axis=1)

    @functools.cached_property
    def _shared(self):
        """Which bytes of a record are the same in all."""
        own = np.zeros(self.stride, bool)
        own[-FOOTER:] = True
        for field, offset in zip(self.fields, self.offsets):
            own[offset : offset + field.nbytes] = True
        return ~own


def to_varints(values):
    """Returns integers as varints of ten bytes each: `(n, 10)`, uint8."""
    words = values.astype("int64").view("uint64")[:, None]
    groups = (words >> np.arange(0, 70, 7, dtype="uint64").clip(max=63)) & np.uint64(0x7F)
    groups = groups.astype("uint8")
    groups[:, :-1] |= 0x80
    return groups


def from_varints(groups, dtype):
    """Returns the integers that `to_varints` was given."""
    shifts = np.arange(0, 70, 7, dtype="uint64")
    words = (groups & 0x7F).astype("uint64") << shifts
    return np.bitwise_or.reduce(words, axis=-1).view("int64").astype(dtype)


def _stored(field):
    if field.encoding == "integer":
        return ("u1", (field.nbytes,))
    return (np.dtype(field.dtype), field.shape)


def _example(fields):
    """Returns an Example with zeros for data, and where the data of each field go."""
    entries, places = b"", []
    for field in fields:
        size = field.nbytes
        kind = INT64 if field.encoding == "integer" else BYTES
        entries += entry(field.name, kind, message(1, bytes(size)))
        places.append(len(entries) - size)
    payload = message(1, entries)
    start = HEADER + len(payload) - len(entries)
    return payload, [start + place for place in places]


def entry(name, kind, values):
    """Returns a feature of an Example: its name, and a list of values of a kind."""
    feature = message(2, message(kind, values))
    return message(1, message(1, name.encode()) + feature)


def message(number, content):
    """Returns one length-delimited field of a protocol buffer."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value):
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])

"""What a directory of records holds, from what it says and from what is in it."""

import collections
import dataclasses
from typing import Any

import numpy as np

from keras_sched._checks import check
from keras_sched._types import PathLike
from keras_sched.tfrecord import metadata, parse, records
from keras_sched.tfrecord.adopt import adopted, names_of
from keras_sched.tfrecord.files import File, holds, mapped
from keras_sched.tfrecord.schema import Field
from keras_sched.tfrecord.verify import found
from keras_sched.tfrecord.words import many

_SAMPLE = 1000
_FEW = 10
_KINDS = {
    "bytes_list": "bytes",
    "int64_list": "int64",
    "float_list": "float32",
    None: "nothing",
}
_ENCODINGS = {
    "bytes": ("string", "string"),
    "int64": ("int64", "integer"),
    "float32": ("float32", "float"),
}
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
}


@dataclasses.dataclass(frozen=True)
class Column:
    """One field of the records.

    Attributes:
        name: Its name.
        dtype: Of what its values are; "bytes" where that is not said.
        shape: How many there are, as text: "(32, 32, 3)", or "1 to 7 values".
        note: What else was seen: the format of images, for one.
        classes: Names of the classes that its numbers stand for.
    """

    name: str
    dtype: str
    shape: str
    note: str = ""
    classes: tuple[str, ...] = ()

    def __str__(self):
        return f"{self.name}: {self.dtype} {self.shape} {self.note}".rstrip()


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What `inspect` has found.

    Attributes:
        directory: The folder.
        name: Name of the dataset, or `None` where none is said.
        splits: Tuple of `Split`. Of files without metadata each is one.
        columns: Tuple of `Column`.
        stride: How long each record is in bytes, with framing, if all are of one length.
        labels: How often each class occurs, by split, under its name or its number; empty
            where nothing is a label.
        begun: Tuple of what is said of conversions that go on, or were broken off.
        damages: Tuple of what is said of files that are not whole, or not as they were
            written.
        features: By name, what `tf.io.parse_example` needs to know, as Python.
    """

    directory: str
    name: str | None
    splits: tuple[metadata.Split, ...]
    columns: tuple[Column, ...]
    stride: int | None
    labels: dict[str, dict[Any, int]]
    begun: tuple[str, ...] = ()
    damages: tuple[str, ...] = ()
    features: dict[str, str] = dataclasses.field(default_factory=dict)

    def spec(self) -> str:
        """Returns the `features` as one dict in Python, for `tf.io.parse_example`."""
        lines = (f"    {name!r}: {text},\n" for name, text in self.features.items())
        return "".join(["{\n", *lines, "}"])

    def __str__(self):
        lengths = f"of {self.stride} bytes each" if self.stride else "of several lengths"
        lines = [f"{self.name or self.directory}: records {lengths}"]
        lines += [f"  {column}" for column in self.columns]
        for split in self.splits:
            lines.append(str(split))
            counted = self.labels.get(split.name, {})
            lines += [f"  label {label}: {count:,}" for label, count in counted.items()]
        return "\n".join([*lines, *self.begun, *self.damages])


def inspect(
    directory: PathLike, *, count_labels: bool = True, adopt: bool = False
) -> Inspection:
    """Tells what a directory of records holds: splits, fields, classes.

    Of files that `convert` did not write, the fields are those of the first 1,000 records
    of each file, and the counts those of the sound ones.

    Args:
        directory: Folder with files of records.
        adopt: Whether `load` shall read what others have written. Writes `metadata.json`,
            with the fields as TFDS says them, or as all records show them.
        count_labels: Whether to count how often each class occurs, for which all files
            are gone through. Labels are the second of the pair that was converted, or a
            field called "label"; more than 100 different ones are no classes.

    Returns:
        `Inspection`.

    Raises:
        ValueError: For what is no folder, or one without records.

    >>> x, y = np.zeros((5, 2, 2, 1), "uint8"), np.array([0, 1, 1, 2, 1])
    >>> _ = tfrecord.convert((x, y), directory, name="five")
    >>> print(tfrecord.inspect(directory))
    five: records of 62 bytes each
      image: uint8 (2, 2, 1)
      label: int64 ()
    train: 5 records, 310 bytes in 1 file
      label 0: 1
      label 1: 3
      label 2: 1
    """
    directory = metadata.folder(directory)
    check(directory.is_dir(), "inspect", "directory", "a folder", str(directory))
    held = metadata.read(directory)
    if adopt and (held is None or held.adopted):
        held = adopted(directory)
        held.claim(directory)
    if held is None:
        return _of_another(directory)
    seen, layout = held.images, held.layout
    labels, damages = _labels(directory, held) if count_labels else ({}, ())
    columns = tuple(_stated(field, seen.get(field.name)) for field in held.read_as)
    return Inspection(
        directory=str(directory),
        name=held.name,
        splits=tuple(held.splits.values()),
        columns=columns,
        stride=layout and layout.stride,
        labels=labels,
        begun=tuple(f"{split}: {begun}" for split, begun in held.begun.items()),
        damages=damages,
        features=parse.spec_texts(held.fields),
    )


def _stated(field, seen):
    """Returns the `Column` of a field that metadata state."""
    notes = [str(seen)] if seen else []
    notes += [_classes(field.labels)] if field.labels else []
    shape = str(tuple(field.shape)).replace("None", "?")
    return Column(field.name, field.dtype, shape, ", ".join(notes), field.labels)


def _classes(labels):
    """Returns how many classes there are, and what they are called if they are few."""
    names = f": {', '.join(labels)}" if len(labels) <= _FEW else ""
    return many(len(labels), "class") + names


def _labels(directory, held):
    """Returns how often each class occurs, by split, and which files do not tell."""
    pair = isinstance(held.supervised, tuple) and len(held.supervised) > 1
    name = held.supervised[1] if pair else "label"
    fields = [field for field in held.fields if field.name == name]
    if not fields or fields[0].encoding != "integer" or fields[0].shape:
        return {}, ()
    counted, damages = {}, []
    for split in held.splits.values():
        other = [s.file for s in split.shards if not holds(directory / s.file, s)]
        told = f"not as it was written, so classes of {split.name} are not counted"
        damages += [f"{file}: {told} (verify tells more)" for file in other]
        counts = {} if other else _counts(directory, split, held.layout, fields[0])
        if 0 < len(counts) <= 100:
            names = fields[0].labels or range(max(counts) + 1)
            known = {n: names[n] if 0 <= n < len(names) else n for n in counts}
            counted[split.name] = {known[n]: counts[n] for n in sorted(counts)}
    return counted, tuple(damages)


def _counts(directory, split, layout, field):
    """Returns how often each number occurs in a field of integers."""
    counts = collections.Counter()
    for shard in split.shards:
        values = _values(directory, shard, layout, field)
        values = np.unique(values, return_counts=True)
        counts.update(dict(zip(*(each.tolist() for each in values))))
    return counts


def _values(directory, shard, layout, field):
    """Returns the values of one field of integers in all records of a file."""
    file = File(directory, shard, layout, skip=False)
    if layout:
        number = layout.fields.index(field)
        rows = file.content.reshape(-1, layout.stride).view(layout.dtype)[:, 0]
        return layout.decode(rows, number)
    import tensorflow as tf

    found = [np.empty(0, "int64")]
    for first in range(0, file.count, _SAMPLE):
        numbers = np.arange(first, min(first + _SAMPLE, file.count))
        parsed = tf.io.parse_example(file.payloads(numbers), parse.spec([field]))
        found.append(parsed[field.name].numpy())
    return np.concatenate(found)


def _of_another(directory):
    """Returns the `Inspection` of files that `convert` did not write."""
    shards = found(directory, "inspect")
    splits, seen, lengths, name, damages, total = {}, {}, set(), None, [], 0
    for shard in shards:
        path = directory / shard.file
        content = mapped(path) if path.is_file() else np.empty(0, "uint8")
        begins, ends, flaws = records.scan(content)
        if flaws or not path.is_file():
            what = flaws[0].what if flaws else "is missing"
            damages.append(f"{shard.file}: {what} (verify tells more)")
        total += len(begins[:_SAMPLE])
        lengths.update(np.unique(ends - begins).tolist())
        for payload in records.payloads(content, begins[:_SAMPLE], ends[:_SAMPLE]):
            _look(payload, seen)
        name, split = names_of(shard.file)
        there = metadata.Shard(shard.file, len(begins), len(content), None)
        splits.setdefault(split, []).append(there)
    splits = tuple(metadata.Split(split, tuple(of)) for split, of in splits.items())
    columns = tuple(_column(name, seen[name]) for name in sorted(seen))
    stride = lengths.pop() if len(lengths) == 1 else None
    return Inspection(
        directory=str(directory),
        name=name,
        splits=splits,
        columns=columns,
        stride=stride,
        labels={},
        damages=tuple(damages),
        features=parse.spec_texts(_fields(seen, total)),
    )


def _look(payload, seen):
    """Adds what one record holds to what was seen, if it is a `tf.train.Example`."""
    features = parse.features(payload)
    if features is None:
        seen.setdefault("", []).append(("no tf.train.Example", len(payload), "", 1))
        return
    for name, (kind, values) in features.items():
        one = kind == "bytes_list" and len(values) == 1
        seen.setdefault(name, []).append(
            (
                _KINDS[kind],
                len(values[0] if one else values),
                _format(values, one),
                len(values),
            )
        )


def _fields(seen, total):
    """Yields the fields of one kind, as they were seen in so many records.

    Those that some records lack, or of which they have several values, are sequences.
    """
    for name, each in sorted(seen.items()):
        kinds, counts = {one[0] for one in each if one[3]}, {one[3] for one in each}
        if kinds <= _ENCODINGS.keys() and len(kinds) == 1:
            dtype, encoding = _ENCODINGS[kinds.pop()]
            same = len(each) == total and len(counts) == 1
            shape = tuple(counts) if same else (None,)
            yield Field(name, dtype, () if shape == (1,) else shape, encoding)


def _format(values, one):
    begin = values[0] if one else b""
    return next((form for magic, form in _MAGIC.items() if begin.startswith(magic)), "")


def _column(name, seen):
    """Returns the `Column` of what was seen of a field."""
    kinds, counts, formats, _ = (sorted(set(each)) for each in zip(*seen))
    unit = "byte" if kinds == ["bytes"] else "value"
    low = f"{counts[0]:,} to " if len(counts) > 1 else ""
    note = " and ".join(form or "others" for form in formats) if any(formats) else ""
    return Column(name, " or ".join(kinds), low + many(counts[-1], unit), note)

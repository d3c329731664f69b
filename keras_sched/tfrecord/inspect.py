"""What a directory of records holds, from what it says and from what is in it."""

import collections
import dataclasses

import numpy as np

from keras_sched._checks import check
from keras_sched.tfrecord import metadata, records
from keras_sched.tfrecord.files import mapped
from keras_sched.tfrecord.layout import Layout
from keras_sched.tfrecord.verify import found

_SAMPLE = 1000
_KINDS = {
    "bytes_list": "bytes",
    "int64_list": "int64",
    "float_list": "float32",
    None: "nothing",
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
    """

    name: str
    dtype: str
    shape: str
    note: str = ""

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
        labels: How often each class number occurs, by split; empty where nothing is a
            label.
    """

    directory: str
    name: str | None
    splits: tuple
    columns: tuple
    stride: int | None
    labels: dict

    def __str__(self):
        lengths = f"of {self.stride} bytes each" if self.stride else "of several lengths"
        lines = [f"{self.name or self.directory}: records {lengths}"]
        lines += [f"  {column}" for column in self.columns]
        for split in self.splits:
            lines.append(str(split))
            counted = self.labels.get(split.name, {})
            lines += [f"  label {label}: {count:,}" for label, count in counted.items()]
        return "\n".join(lines)


def inspect(directory, *, count_labels=True):
    """Tells what a directory of records holds: splits, fields, classes.

    Of files that `convert` did not write, the fields are those of the first 1,000 records
    of each file, and the counts those of the sound ones.

    Args:
        directory: Folder with files of records.
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
    if held is None:
        return _of_another(directory)
    layout = Layout(held.fields)
    columns = (Column(f.name, f.dtype, str(tuple(f.shape))) for f in held.fields)
    labels = _labels(directory, held, layout) if count_labels else {}
    splits = tuple(held.splits.values())
    return Inspection(
        str(directory), held.name, splits, tuple(columns), layout.stride, labels
    )


def _labels(directory, held, layout):
    """Returns how often each class occurs, by split; nothing for files not as written."""
    name, counted = held.supervised[1] if held.supervised else "label", {}
    numbers = [n for n, field in enumerate(held.fields) if field.name == name]
    if not numbers or not held.fields[numbers[0]].is_integer:
        return {}
    for split in held.splits.values():
        counts = collections.Counter()
        for shard in split.shards:
            path = directory / shard.file
            if not path.is_file() or path.stat().st_size != shard.bytes:
                break
            rows = mapped(path).reshape(-1, layout.stride).view(layout.dtype)[:, 0]
            values = np.unique(layout.decode(rows, numbers[0]), return_counts=True)
            counts.update(dict(zip(*(each.tolist() for each in values))))
        else:
            if len(counts) <= 100:
                counted[split.name] = dict(sorted(counts.items()))
    return counted


def _of_another(directory):
    """Returns the `Inspection` of files that `convert` did not write."""
    shards = found(directory, "inspect")
    check(shards, "inspect", "directory", "a folder with TFRecord files", str(directory))
    splits, seen, lengths, name = {}, {}, set(), None
    for shard in shards:
        path = directory / shard.file
        content = mapped(path) if path.is_file() else np.empty(0, "uint8")
        begins, ends, _ = records.scan(content)
        lengths.update(np.unique(ends - begins).tolist())
        for begin, end in zip(begins[:_SAMPLE], ends[:_SAMPLE]):
            payload = content[begin + records.HEADER : end - records.FOOTER]
            _look(payload.tobytes(), seen)
        name, split = _names(shard.file)
        there = metadata.Shard(shard.file, len(begins), len(content), None)
        splits.setdefault(split, []).append(there)
    splits = tuple(metadata.Split(split, tuple(of)) for split, of in splits.items())
    columns = tuple(_column(name, seen[name]) for name in sorted(seen))
    stride = lengths.pop() if len(lengths) == 1 else None
    return Inspection(str(directory), name, splits, columns, stride, {})


def _names(file):
    """Returns the names of dataset and split in a file's name, as TFDS has them."""
    first, *rest = file.split(".tfrecord")[0].split("-", 1)
    return (first, rest[0]) if rest else (None, first)


def _look(payload, seen):
    """Adds what one record holds to what was seen, if it is a `tf.train.Example`."""
    import tensorflow as tf
    from google.protobuf import message

    try:
        features = tf.train.Example.FromString(payload).features.feature
    except message.DecodeError:
        seen.setdefault("", []).append(("no tf.train.Example", len(payload), ""))
        return
    for name, feature in features.items():
        kind = feature.WhichOneof("kind")
        values = getattr(feature, kind).value if kind else ()
        one = kind == "bytes_list" and len(values) == 1
        seen.setdefault(name, []).append(
            (_KINDS[kind], len(values[0] if one else values), _format(values, one))
        )


def _format(values, one):
    begin = values[0] if one else b""
    return next((form for magic, form in _MAGIC.items() if begin.startswith(magic)), "")


def _column(name, seen):
    """Returns the `Column` of what was seen of a field."""
    kinds, counts, formats = (sorted(set(each)) for each in zip(*seen))
    unit = "bytes" if kinds == ["bytes"] else "values"
    many = f"{counts[0]:,}" + (f" to {counts[-1]:,}" if len(counts) > 1 else "")
    note = " and ".join(form or "others" for form in formats) if any(formats) else ""
    return Column(name, " or ".join(kinds), f"{many} {unit}", note)

"""What others have written, as what `load` reads."""

import dataclasses
import itertools
import json
import re

from keras_sched._checks import check
from keras_sched.tfrecord import images, metadata, parse, records, schema
from keras_sched.tfrecord.errors import check_data
from keras_sched.tfrecord.files import checksum, mapped
from keras_sched.tfrecord.schema import Field
from keras_sched.tfrecord.structure import check_names
from keras_sched.tfrecord.verify import found

_CHUNK = 256
_KINDS = {"int64_list": ("int64", "integer"), "float_list": ("float32", "float")}


def adopted(directory):
    """Returns the `Metadata` of a folder of TFRecords that `convert` did not write.

    Raises:
        ValueError: For damaged files, and for records of which nothing can be said.
    """
    shards = found(directory, "inspect")
    places = {shard.file: _places(directory / shard.file) for shard in shards}
    stated = directory / "features.json"
    if stated.is_file():
        content = json.loads(stated.read_text("utf-8"))
        fields = schema.from_tfds(content["featuresDict"]["features"])
        fields = tuple(_with_classes(directory, field) for field in fields)
    else:
        fields = _shown(directory, places)
    splits, name = {}, None
    for shard in shards:
        name, split = names_of(shard.file)
        whole = _described(directory / shard.file, places[shard.file], fields)
        splits.setdefault(split, []).append(whole)
    splits = {split: metadata.Split(split, tuple(of)) for split, of in splits.items()}
    names = [field.name for field in fields]
    check_names(names, "inspect", "directory")
    nest = _nest(directory, set(names))
    name = name or re.sub(r"\W+", "_", directory.name.lower())
    return metadata.Metadata(name, fields, nest, splits, adopted=True)


def names_of(file):
    """Returns the names of dataset and split in a file's name, as TFDS has them."""
    stem = re.sub(r"-\d+-of-\d+$", "", file.split(".tfrec")[0])
    first, *rest = stem.split("-", 1)
    return (first, rest[0]) if rest else (None, first)


def _places(path):
    must = "one that has all the files it tells of"
    check_data(path.is_file(), "inspect", "directory", must, path.name)
    content = mapped(path)
    begins, ends, flaws = records.scan(content)
    must = "one of sound files (verify names what is damaged, and repair is for ours)"
    check_data(not flaws, "inspect", "directory", must, f"{path.name}: {flaws[:1]}")
    return begins, ends


def _payloads(path, places):
    """Yields what the records of a file hold, some at a time."""
    content, (begins, ends) = mapped(path), places
    for first in range(0, len(begins), _CHUNK):
        some = slice(first, first + _CHUNK)
        yield list(records.payloads(content, begins[some], ends[some]))


def _with_classes(directory, field):
    path = directory / metadata.labels_file(field)
    if not field.labels or not path.is_file():
        return field
    names = (name.strip() for name in path.read_text("utf-8").split("\n"))
    named = tuple(name for name in names if name)
    return dataclasses.replace(field, labels=named) if named else field


class _Seen:
    """What the records show of one field."""

    def __init__(self):
        self.kinds, self.counts, self.records, self.images = set(), set(), 0, 0

    def add(self, kind, values):
        self.kinds.add(kind)
        self.counts.add(len(values))
        self.records += 1
        is_bytes = kind == "bytes_list" and len(values) == 1
        self.images += is_bytes and images.is_one(values[0])

    def field(self, name, total):
        """Returns the `Field`; one of images where most of the values are."""
        must = f"one whose records all have `{name}`, of one kind"
        alike = self.records == total and len(self.kinds) == 1
        got = f"{self.records} of {total} have it"
        check(alike, "inspect", "directory", must, got)
        if self.images > total / 2:
            return Field(name, "uint8", (None,) * 3, "image")
        shape = tuple(self.counts) if len(self.counts) == 1 else (None,)
        dtype, encoding = _KINDS.get(self.kinds.pop(), ("string", "string"))
        return Field(name, dtype, () if shape == (1,) else shape, encoding)


def _shown(directory, places):
    """Returns the fields that all records have, by a look into each."""
    seen, total = {}, sum(len(begins) for begins, _ in places.values())
    for file, where in places.items():
        for payload in itertools.chain.from_iterable(_payloads(directory / file, where)):
            features = parse.features(payload)
            must = "one whose records are tf.train.Example"
            check_data(features is not None, "inspect", "directory", must, file)
            for name, (kind, values) in features.items():
                seen.setdefault(name, _Seen()).add(kind, values)
    must = "one whose records are tf.train.Example, with fields"
    check(seen, "inspect", "directory", must, sorted(places))
    return tuple(seen[name].field(name, total) for name in sorted(seen))


def _described(path, places, fields):
    """Returns the `Shard` of a file, with what its images are like."""
    import tensorflow as tf

    content, pictures = mapped(path), [f for f in fields if f.encoding == "image"]
    seen = {field.name: [] for field in pictures}
    for first, payloads in _numbered(_payloads(path, places) if pictures else ()):
        parsed = tf.io.parse_example(payloads, parse.spec(pictures))
        for name, each in seen.items():
            each.append(_looked_at(path, first, parsed[name].numpy()))
    return metadata.Shard(
        path.name,
        len(places[0]),
        len(content),
        checksum(content),
        {name: images.together(each) for name, each in seen.items() if each},
    )


def _numbered(chunks):
    first = 0
    for chunk in chunks:
        yield first, chunk
        first += len(chunk)


def _looked_at(path, first, contents):
    looks = []
    for record, content in enumerate(contents, first):
        try:
            looks.append(images.look(content))
        except images.NoImageError as error:
            must = "one of images that TensorFlow decodes"
            told = f"{path.name}, record {record}: {error}"
            check_data(False, "inspect", "directory", must, told)
    return images.together(looks)


def _nest(directory, names):
    """Returns the pair that is learned from, as TFDS says it, or an image and a label."""
    info = directory / "dataset_info.json"
    if info.is_file():
        keys = json.loads(info.read_text("utf-8")).get("supervisedKeys", {})
        items = keys.get("tuple", {}).get("items", [])
        pair = tuple(item.get("featureKey") for item in items)
        return pair if pair and set(pair) <= names else None
    return ("image", "label") if {"image", "label"} <= names else None

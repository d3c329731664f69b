"""What others have written, as what `load` reads."""

import dataclasses
import json
import re

from keras_sched._checks import check
from keras_sched.tfrecord import images, metadata, parse, records, schema
from keras_sched.tfrecord.files import checksum, mapped
from keras_sched.tfrecord.schema import Field
from keras_sched.tfrecord.verify import found

_CHUNK = 256
_KINDS = {"int64_list": ("int64", "integer"), "float_list": ("float32", "float")}


def adopted(directory):
    """Returns the `Metadata` of a folder of TFRecords that `convert` did not write.

    Raises:
        ValueError: For damaged files, and for records of which nothing can be said.
    """
    shards = found(directory, "inspect")
    check(shards, "inspect", "directory", "a folder with TFRecord files", str(directory))
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
    nest = _nest(directory, {field.name for field in fields})
    name = name or re.sub(r"\W+", "_", directory.name.lower())
    return metadata.Metadata(name, fields, nest, splits, adopted=True)


def names_of(file):
    """Returns the names of dataset and split in a file's name, as TFDS has them."""
    stem = re.sub(r"-\d+-of-\d+$", "", file.split(".tfrecord")[0])
    first, *rest = stem.split("-", 1)
    return (first, rest[0]) if rest else (None, first)


def _places(path):
    must = "one that has all the files it tells of"
    check(path.is_file(), "inspect", "directory", must, path.name)
    content = mapped(path)
    begins, ends, flaws = records.scan(content)
    must = "one of sound files (verify names what is damaged, and repair is for ours)"
    check(not flaws, "inspect", "directory", must, f"{path.name}: {flaws[:1]}")
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
    names = path.read_text("utf-8").splitlines()
    return dataclasses.replace(field, labels=tuple(name for name in names if name))


def _shown(directory, places):
    """Returns the fields that all records have, by a look into each."""
    kinds, counts, pictures, total = {}, {}, {}, 0
    for file, where in places.items():
        for payloads in _payloads(directory / file, where):
            total += len(payloads)
            for payload in payloads:
                features = parse.features(payload)
                must = "one whose records are tf.train.Example"
                check(features is not None, "inspect", "directory", must, file)
                for name, (kind, values) in features.items():
                    kinds.setdefault(name, []).append(kind)
                    counts.setdefault(name, set()).add(len(values))
                    maybe = kind == "bytes_list" and len(values) == 1
                    maybe = maybe and pictures.get(name, True)
                    pictures[name] = maybe and _is_image(values[0])
    must = "one whose records are tf.train.Example, with fields"
    check(kinds, "inspect", "directory", must, sorted(places))
    fields = []
    for name in sorted(kinds):
        must = f"one whose records all have `{name}`, of one kind"
        alike = len(kinds[name]) == total and len(set(kinds[name])) == 1
        got = f"{len(kinds[name])} of {total} have it"
        check(alike, "inspect", "directory", must, got)
        many = counts[name]
        shape = (many.pop() if len(many) == 1 else None,)
        shape = () if shape == (1,) else shape
        if pictures[name]:
            fields.append(Field(name, "uint8", (None,) * 3, "image"))
        else:
            dtype, encoding = _KINDS.get(kinds[name][0], ("string", "string"))
            fields.append(Field(name, dtype, shape, encoding))
    return tuple(fields)


def _is_image(content):
    try:
        return bool(images.look(content))
    except images.NoImageError:
        return False


def _described(path, places, fields):
    """Returns the `Shard` of a file, with what its images are like."""
    import tensorflow as tf

    content, pictures = mapped(path), [f for f in fields if f.encoding == "image"]
    seen = {field.name: [] for field in pictures}
    for payloads in _payloads(path, places) if pictures else ():
        parsed = tf.io.parse_example(payloads, parse.spec(pictures))
        for name, each in seen.items():
            each.append(_looked_at(path, parsed[name].numpy()))
    return metadata.Shard(
        path.name,
        len(places[0]),
        len(content),
        checksum(content),
        {name: images.together(each) for name, each in seen.items() if each},
    )


def _looked_at(path, contents):
    try:
        return images.together(map(images.look, contents))
    except images.NoImageError as error:
        must = "one of images that are whole"
        check(False, "inspect", "directory", must, f"{path.name}: one {error}")


def _nest(directory, names):
    """Returns the pair that is learned from, as TFDS says it, or an image and a label."""
    info = directory / "dataset_info.json"
    if info.is_file():
        keys = json.loads(info.read_text("utf-8")).get("supervisedKeys", {})
        items = keys.get("tuple", {}).get("items", [])
        pair = tuple(item.get("featureKey") for item in items)
        return pair if pair and set(pair) <= names else None
    return ("image", "label") if {"image", "label"} <= names else None

"""Datasets into records: the plan, the files, and what is said of them."""

import dataclasses
import re

from keras_sched import _atomic
from keras_sched._checks import check, integer
from keras_sched.tfrecord import metadata, schema, sources
from keras_sched.tfrecord.layout import Layout
from keras_sched.tfrecord.writer import write_shard

_SHARD_BYTES = 128 * 2**20


def convert(source, directory, *, name=None, split="train", shards=None, overwrite=False):
    """Writes a dataset as TFRecord files in a directory that TFDS opens.

    Every value comes back as it was: integer scalars are stored as integers, all else as
    raw bytes (of which TFDS 4.9 cannot read arrays of uint32; `load` can). Files appear
    under their names when they are complete, and the split is listed when all of them
    are; killed half-way, it is not there, and can be converted again. Several splits go
    into one directory by one call each.

    Args:
        source: Pair `(x, y)` of arrays, or a dict of arrays; all of one length.
        directory: Folder of the files; made if it is not there. One that holds another's
            dataset is refused.
        name: Name of the dataset for TFDS, a word in snake_case. `None`: the folder's
            name, or its parent's if the folder is a version (`cats/1.0.0`).
        split: Name of the split, a word.
        shards: Number of files. `None`: one for each 128 MiB.
        overwrite: Whether a split of this name may be replaced.

    Returns:
        `Split`, with its `records`, `bytes` and `shards`.

    Raises:
        ValueError: For an argument out of these bounds, a split that is there already,
            or data that do not fit the splits that are.

    >>> images, labels = np.zeros((100, 8, 8, 1), "uint8"), np.arange(100) % 10
    >>> print(tfrecord.convert((images, labels), directory, split="test"))
    test: 100 records, 12,200 bytes in 1 file
    """
    directory = metadata.folder(directory)
    arrays, supervised = sources.arrays(source)
    fields = schema.infer(arrays)
    _check_word("split", split)
    before = _before(directory)
    if before:
        _check_fits(before, fields, supervised, split, overwrite)
    name = _check_word("name", name or (before.name if before else _word(directory)))
    same = before is None or name == before.name
    must = "that of the dataset in the directory"
    check(same, "convert", "name", must, name)
    layout, count = Layout(fields), len(next(iter(arrays.values())))
    shards = _count_shards(shards, count, layout.stride)
    held = metadata.Metadata(name, fields, supervised, {})
    if before is None:
        directory.mkdir(parents=True, exist_ok=True)
        held.claim(directory)
    else:
        held.splits.update(before.splits)
        if held.splits.pop(split, None):
            dataclasses.replace(before, splits=held.splits).save(directory)
    files = [
        write_shard(
            directory / metadata.file_name(name, split, index, shards),
            layout,
            arrays,
            count * index // shards,
            count * (index + 1) // shards,
        )
        for index in range(shards)
    ]
    held.splits[split] = metadata.Split(split, tuple(files))
    held.save(directory)
    _remove_other_files(directory, name, held.splits[split])
    return held.splits[split]


def _before(directory):
    """Returns the metadata of a folder that is ours; refuses one that is another's."""
    free = directory.is_dir() or not directory.exists()
    check(free, "convert", "directory", "a folder, or free", str(directory))
    before = metadata.read(directory)
    theirs = [
        n for n in ("dataset_info.json", "features.json") if (directory / n).exists()
    ]
    ours = before is not None or not theirs
    must = f"without a dataset that convert did not write: it has {theirs}"
    check(ours, "convert", "directory", must, str(directory))
    return before


def _check_fits(before, fields, supervised, split, overwrite):
    must = f"another than {sorted(before.splits)}, or overwrite=True given"
    check(overwrite or split not in before.splits, "convert", "split", must, split)
    alone = set(before.splits) <= {split}
    same = (before.fields, before.supervised) == (fields, supervised)
    must = f"of the fields the directory has: {before.fields}"
    check(same or alone, "convert", "source", must, fields)


def _check_word(name, word):
    plain = isinstance(word, str) and re.fullmatch("[a-z][a-z0-9_]*", word)
    must = "a word of lower-case letters, digits and underscores"
    check(plain, "convert", name, must, word)
    return word


def _word(directory):
    """Returns the name TFDS would give a folder, `name/` or `name/1.0.0/`."""
    versioned = re.fullmatch(r"\d+\.\d+\.\d+", directory.name)
    text = directory.parent.name if versioned else directory.name
    word = re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")
    return word if word[:1].isalpha() else f"dataset_{word}".rstrip("_")


def _count_shards(shards, count, stride):
    if shards is None:
        return min(count, -(-count * stride // _SHARD_BYTES))
    shards = integer("convert", "shards", shards, at_least=1)
    must = f"at most the number of records, {count}"
    check(shards <= count, "convert", "shards", must, shards)
    return shards


def _remove_other_files(directory, name, split):
    """Removes what an earlier conversion of the split left under other names."""
    kept = {shard.file for shard in split.shards}
    for path in directory.glob(f"{name}-{split.name}.tfrecord-*-of-*"):
        if path.name not in kept:
            _atomic.remove(path)

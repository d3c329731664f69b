"""Datasets into records: the plan, the files, and what is said of them."""

import pathlib
import re

from keras_sched import _atomic
from keras_sched._checks import check, integer
from keras_sched.tfrecord import metadata, schema, sources
from keras_sched.tfrecord.records import Layout
from keras_sched.tfrecord.writer import write_shard

_SHARD_BYTES = 128 * 2**20


def convert(source, directory, *, name=None, split="train", shards=None, overwrite=False):
    """Writes a dataset as TFRecord files in a directory that TFDS opens.

    Every value comes back as it was: integer scalars are stored as integers, all else as
    raw bytes. Files appear under their names when they are complete, and the split is
    listed when all of them are; killed half-way, it is not there, and can be converted
    again. Several splits go into one directory by one call each.

    Args:
        source: Pair `(x, y)` of arrays, or a dict of arrays; all of one length.
        directory: Folder of the files; made if it is not there.
        name: Name of the dataset for TFDS, a word in snake_case. `None`: the folder's
            name made one.
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
    directory = pathlib.Path(directory).expanduser().absolute()
    arrays, supervised = sources.arrays(source)
    fields = schema.infer(arrays)
    _check_word("split", split)
    before = metadata.read(directory) if directory.is_dir() else None
    if before:
        _check_fits(before, fields, supervised, split, overwrite)
    name = name or (before.name if before else _word(directory.name))
    _check_word("name", name)
    must = f"that of the dataset in the directory, {before.name!r}" if before else ""
    check(not before or name == before.name, "convert", "name", must, name)
    layout, count = Layout(fields), len(next(iter(arrays.values())))
    shards = _count_shards(shards, count, layout.stride)
    directory.mkdir(parents=True, exist_ok=True)
    held = metadata.Metadata(
        name, fields, supervised, dict(before.splits) if before else {}
    )
    old = held.splits.pop(split, None)
    if old:
        held.save(directory)
    files = [
        write_shard(
            directory / f"{name}-{split}.tfrecord-{index:05d}-of-{shards:05d}",
            layout,
            arrays,
            count * index // shards,
            count * (index + 1) // shards,
        )
        for index in range(shards)
    ]
    held.splits[split] = metadata.Split(split, tuple(files))
    held.save(directory)
    _remove_other_files(directory, old, held.splits[split])
    return held.splits[split]


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


def _word(text):
    """Returns a folder's name as TFDS would accept it."""
    word = re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")
    return word if word[:1].isalpha() else f"dataset_{word}".rstrip("_")


def _count_shards(shards, count, stride):
    if shards is None:
        return min(count, -(-count * stride // _SHARD_BYTES))
    shards = integer("convert", "shards", shards, at_least=1)
    must = f"at most the number of records, {count}"
    check(shards <= count, "convert", "shards", must, shards)
    return shards


def _remove_other_files(directory, old, new):
    kept = {shard.file for shard in new.shards}
    for shard in old.shards if old else ():
        if shard.file not in kept:
            _atomic.remove(directory / shard.file)

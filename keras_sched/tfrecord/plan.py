"""What is to be written where: sources, names, files, and what must fit together."""

import contextlib
import dataclasses
import errno
import json
import os
import re
import shutil

from keras_sched import _atomic
from keras_sched._checks import check, integer, one_of
from keras_sched._types import ImageFormat, OnError
from keras_sched.tfrecord import layout, metadata, sources
from keras_sched.tfrecord.schema import check_classes
from keras_sched.tfrecord.structure import check_names
from keras_sched.tfrecord.writer import Task

_THEIRS = ("*.tfrec*", "*-[0-9]*-of-*[0-9]", "dataset_info.json", "features.json")


@dataclasses.dataclass(frozen=True)
class How:
    """How to convert, checked."""

    shards: int | None
    shard_bytes: int
    image_format: str
    workers: int | None
    on_error: str
    resume: bool
    index: bool
    progress: bool

    def __post_init__(self):
        for name in "shards", "workers":
            if (value := getattr(self, name)) is not None:
                integer("convert", name, value, at_least=1)
        integer("convert", "shard_bytes", self.shard_bytes, at_least=1, below=2**63)
        one_of("convert", "image_format", self.image_format, ImageFormat)
        one_of("convert", "on_error", self.on_error, OnError)


class Plan:
    """What is to be written of one split.

    Its `files` are how many, or `None` where the rows have to tell.
    """

    def __init__(self, split, source, how):
        _check_word("split", split)
        self.split, self.source, self.how = split, source, how
        count, self.nbytes = source.count, source.nbytes
        fixed = layout.of(source.fields)
        if fixed and count:
            self.nbytes = count * fixed.stride
        shards, self.files = how.shards, None
        if shards is not None:
            must = "None for rows whose number is not known"
            check(count is not None, "convert", "shards", must, shards)
            must = f"at most the number of records, {count}"
            check(shards <= count, "convert", "shards", must, shards)
            self.files = shards
        elif count is not None and self.nbytes is not None:
            self.files = max(1, min(count, -(-self.nbytes // how.shard_bytes)))

    @property
    def workers(self):
        """How many processes write."""
        if not isinstance(self.source, sources.Rows):
            return 1
        return self.how.workers or self.source.workers or os.cpu_count()

    def parts(self):
        """Returns what goes into each of the files, whose number is known."""
        count, files = self.source.count, self.files
        ends = [count * number // files for number in range(files + 1)]
        if isinstance(self.source, sources.Rows):
            return [self.source.part(*pair) for pair in zip(ends, ends[1:])]
        stream = sources.Stream(self.source.pieces())
        sizes = [end - begin for begin, end in zip(ends, ends[1:])]
        return [stream.part(rows=size) for size in sizes[:-1]] + [stream.part()]

    def task(self, path, part, resumable):
        skip = self.how.on_error == "skip"
        fields = self.source.fields
        return Task(path, fields, part, skip, self.how.index, resumable)


def planned(source, directory, name, split, overwrite, how):
    """Returns the `Plan` of each split, and the `Metadata` of a folder with none.

    Raises:
        ValueError: For what does not fit what the folder has.
    """
    if split is not None:
        _check_word("split", split)
    before = _before(directory)
    name = _name(name, directory, before)
    found = sources.splits(source, split, how.image_format, _labels(before))
    new = metadata.Metadata(name, *_agreed(found), {})
    _joined(new, found, before, overwrite)
    plans = {split: Plan(split, part, how) for split, part in found.items()}
    check_room(directory, sum(_left(plan, before) for plan in plans.values()))
    return plans, new


def _left(plan, before):
    """Returns how many bytes are to be written, about, where some are written already."""
    begun = before and before.begun.get(plan.split)
    there = len(begun.written) if begun and begun.files == plan.files else 0
    return (plan.nbytes or 0) * (1 - there / plan.files if plan.files else 1)


@contextlib.contextmanager
def alone(directory):
    """Makes a folder, and holds it against other conversions."""
    directory.mkdir(parents=True, exist_ok=True)
    with _atomic.alone(directory) as held:
        must = "one that no other process converts into"
        check(held, "convert", "directory", must, str(directory))
        yield


def begin(directory, new, files, overwrite, resume):
    """Claims a folder for splits that are now to be written, and says so in it.

    Those that are there are taken off the list before their files change.

    Args:
        directory: The folder.
        new: `Metadata` of it without splits.
        files: By name of a split, of how many files it will be, or `None`.
        overwrite: Whether they may be there.
        resume: Whether what was broken off is to go on.

    Returns:
        `Metadata`, with the other splits.
    """
    before = metadata.read(directory)
    held = _joined(new, files, before, overwrite)
    for split, count in files.items():
        held.splits.pop(split, None)
        there = held.begun.get(split)
        if not (resume and there and there.files == count):
            held.begun[split] = metadata.Begun(count)
    if before and _lists(directory, files):
        before = dataclasses.replace(before, splits=held.splits, begun=held.begun)
        before.save(directory)
    if before != held:
        held.claim(directory)
    return held


def _lists(directory, splits):
    """Returns whether TFDS would find any of these splits."""
    path = directory / "dataset_info.json"
    try:
        listed = json.loads(path.read_text("utf-8"))["splits"]
        return any(split["name"] in splits for split in listed)
    except (OSError, ValueError, KeyError, TypeError):
        return path.exists()


def _joined(new, splits, before, overwrite):
    """Returns `new` with the splits that are there; refuses what does not fit them."""
    if before is None:
        return dataclasses.replace(new, splits={}, begun={})
    there = before.splits
    for split in splits:
        must = f"another than {sorted(there)}, or overwrite=True given"
        check(overwrite or split not in there, "convert", "split", must, split)
    same = (before.fields, before.supervised) == (new.fields, new.supervised)
    theirs, ours = _differing(before.fields, new.fields)
    must = f"of the fields the directory has: {theirs or before.supervised}"
    only = set(there) <= set(splits)
    check(same or only, "convert", "source", must, ours or new.supervised)
    begun = dict(before.begun) if same else {}
    return dataclasses.replace(new, splits=dict(there), begun=begun)


def _agreed(found):
    """Returns fields and nest of the splits of a source, which all have the same."""
    (first, one), *rest = found.items()
    for split, part in rest:
        same = (part.fields, part.nest) == (one.fields, one.nest)
        firsts, others = _differing(one.fields, part.fields)
        must = f"of the same fields in {split} as in {first}: {firsts or one.nest}"
        check(same, "convert", "source", must, others or part.nest)
    check_names([field.name for field in one.fields], "convert", "source")
    for field in one.fields:
        check_classes(field.name, field.labels)
    return one.fields, one.nest


def _differing(one, other):
    """Returns two lists of fields as text; where classes alone differ, with those."""
    texts = [[str(field) for field in fields] for fields in (one, other)]
    if texts[0] != texts[1]:
        return texts
    pairs = [pair for pair in zip(one, other) if pair[0].labels != pair[1].labels]
    return [_classes(*pair) for pair in pairs], [_classes(*pair[::-1]) for pair in pairs]


def _classes(field, other):
    """Returns the classes that a field has alone, or all in order, as text."""
    own = [label for label in field.labels if label not in {*other.labels}]
    names = own or list(field.labels)
    return f"{field.name}, with {', '.join(names[:10])}" + ", ..." * (len(names) > 10)


def _before(directory):
    """Returns the metadata of a folder that is ours; refuses one that is another's."""
    free = directory.is_dir() or not directory.exists()
    check(free, "convert", "directory", "a folder, or free", str(directory))
    before = metadata.read(directory)
    theirs = sorted(path.name for files in _THEIRS for path in directory.glob(files))
    ours = not before.adopted if before else not theirs
    must = f"without a dataset that convert did not write: it has {theirs[:3]}"
    check(ours, "convert", "directory", must, str(directory))
    return before


def _labels(before):
    fields = before.fields if before and before.splits else ()
    return {field.name: field.labels for field in fields if field.labels}


def _name(name, directory, before):
    name = _check_word("name", name or (before.name if before else _word(directory)))
    same = before is None or name == before.name
    check(same, "convert", "name", "that of the dataset in the directory", name)
    return name


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


def check_room(directory, nbytes):
    """Refuses what would not fit on the disk."""
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    if free < nbytes:
        told = f"{nbytes / 1e6:,.0f} MB are to be written, and {free / 1e6:,.0f} are free"
        raise OSError(errno.ENOSPC, told, str(directory))

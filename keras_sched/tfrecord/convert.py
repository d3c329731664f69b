"""Datasets into records: the plan, the files, and what is said of them."""

import contextlib
import dataclasses
import errno
import json
import os
import re
import shutil
import sys

from keras_sched import _atomic
from keras_sched._checks import check, integer, one_of
from keras_sched.tfrecord import images, index, metadata, progress, sources, workers
from keras_sched.tfrecord.files import holds
from keras_sched.tfrecord.layout import Layout
from keras_sched.tfrecord.sources.stream import Stream
from keras_sched.tfrecord.writer import Task, write_shard

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def convert(
    source,
    directory,
    *,
    name=None,
    split=None,
    shards=None,
    shard_bytes=128 * 2**20,
    image_format="keep",
    workers=None,
    on_error="raise",
    resume=True,
    overwrite=False,
    index=False,
    progress=True,
):
    """Writes a dataset as TFRecord files in a directory that TFDS opens.

    Every value comes back as it was: single integers are stored as integers, image files
    and strings as their bytes, all else as raw bytes (of which TFDS 4.9 cannot read
    arrays of uint32; `load` can). Where all fields have one shape, so have all records
    one length, and `load` slices them. What is written depends on the source alone, not
    on how many processes write, nor on how often they were broken off.

    Files appear under their names when they are complete, and the split is listed when
    all of them are. Killed half-way, it is not there, and the same call goes on: files
    that are whole, and whose rows are as they were, are not written again. (Rows that
    come one after another, as from a `tf.data.Dataset`, are.)

    Args:
        source: One of these, or a dict of them by split.

            - Arrays: a dict of them, a tuple such as `(x, y)`, or a nest of both, all of
              one length. Lists, for arrays that differ in shape. A `.npz` file.
            - `tf.data.Dataset` of dense tensors, an element a record.
            - Folder of folders with images (JPEG, PNG, BMP, GIF, WebP), one a class; or
              of such folders for each split: train, test, validation.
            - CSV file. Columns of paths to images, relative to it, are read as images.
            - `"tfds:cifar10"`, or a folder that TFDS wrote.
            - `datasets.Dataset` of Hugging Face.
            - Iterable of dicts. The first thousand tell the fields.
        directory: Folder of the files; made if it is not there. One that holds another's
            dataset is refused.
        name: Name of the dataset for TFDS, a word in snake_case. `None`: the folder's
            name, or its parent's if the folder is a version (`cats/1.0.0`).
        split: Name of the split, a word. `None`: all splits that the source has, or
            "train" where it has none.
        shards: Number of files. `None`: one for each `shard_bytes`.
        shard_bytes: About how long a file may be, in bytes.
        image_format: "keep": image files as they are, arrays as arrays. "jpeg", "png",
            "bmp", "gif" or "webp": arrays of uint8 that are images, and image files of
            other formats, as such files. "raw": image files as arrays of their pixels.
        workers: Number of processes. `None`: one for each core where files are read or
            encoded, one where arrays are copied.
        on_error: "raise": a row that cannot be written ends the conversion. "skip": it is
            left out, and named in `NAME-SPLIT.rejects.jsonl` with the reason.
        resume: Whether to go on with what was broken off.
        overwrite: Whether a split of this name may be replaced.
        index: Whether to write, beside each file, where its records begin: for DALI, and
            the package `tfrecord`. Files of records of several lengths always have that.
        progress: Whether to show, on the error stream, what is written and how far it is.

    Returns:
        `Split`, with its `records`, `bytes` and `shards`; where several splits are
        converted, a dict of them by name.

    Raises:
        ValueError: For an argument out of these bounds, a split that is there already,
            data that do not fit the splits that are, or a row that cannot be written.
        OSError: Where the disk is full, or a file cannot be read.

    >>> images, labels = np.zeros((100, 8, 8, 1), "uint8"), np.arange(100) % 10
    >>> print(tfrecord.convert((images, labels), directory, split="test"))
    test: 100 records, 12,200 bytes in 1 file
    """
    how = _How(
        shards, shard_bytes, image_format, workers, on_error, resume, index, progress
    )
    directory = metadata.folder(directory)
    if split is not None:
        _check_word("split", split)
    before = _before(directory)
    name = _name(name, directory, before)
    found = sources.splits(source, split, image_format, _labels(before))
    held = _planned(found, name, before, overwrite)
    plans = {split: _Plan(split, part, how) for split, part in found.items()}
    _check_room(directory, sum(plan.nbytes or 0 for plan in plans.values()))
    directory.mkdir(parents=True, exist_ok=True)
    with _atomic.alone(directory) as alone:
        must = "one that no other process converts into"
        check(alone, "convert", "directory", must, str(directory))
        for split in found:
            if held.splits.pop(split, None):
                dataclasses.replace(before, splits=held.splits).save(directory)
        held.claim(directory)
        done = {split: _write(directory, held, plan) for split, plan in plans.items()}
    return done if len(done) > 1 else done.popitem()[1]


@dataclasses.dataclass(frozen=True)
class _How:
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
        whole = isinstance(self.shard_bytes, int) and self.shard_bytes >= 1
        must = "an integer of at least 1"
        check(whole, "convert", "shard_bytes", must, self.shard_bytes)
        forms = ("keep", "raw", *images.FORMATS)
        one_of("convert", "image_format", self.image_format, forms)
        one_of("convert", "on_error", self.on_error, ("raise", "skip"))


class _Plan:
    """What is to be written of one split.

    Its `files` are how many, or `None` where the rows have to tell.
    """

    def __init__(self, split, source, how):
        _check_word("split", split)
        self.split, self.source, self.how = split, source, how
        count, self.nbytes = source.count, source.nbytes
        if all(field.nbytes is not None for field in source.fields) and count:
            self.nbytes = count * Layout(source.fields).stride
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
        stream = Stream(self.source.pieces())
        sizes = [end - begin for begin, end in zip(ends, ends[1:])]
        return [stream.part(rows=size) for size in sizes[:-1]] + [stream.part()]

    def task(self, path, part):
        skip = self.how.on_error == "skip"
        return Task(path, self.source.fields, part, skip, self.how.index)


def _write(directory, held, plan):
    """Writes the files of one split, and what is said of them; returns the `Split`."""
    split, show = plan.split, plan.how.progress
    if show:
        print(_announced(directory, plan), file=sys.stderr)
    with progress.shown(split if show else None, plan.source.count) as tell:
        write = _write_planned if plan.files else _write_rolling
        try:
            written = write(directory, held, plan, tell)
        except OSError as error:
            if error.errno in _FULL:
                raise _full(directory, error.errno) from error
            raise
    records = sum(one.shard.records for one in written)
    must = "rows of which some can be written"
    check(records, "convert", "source", must, [r for one in written for r in one.rejects])
    held.splits[split] = metadata.Split(split, tuple(one.shard for one in written))
    held.begun.pop(split, None)
    rejects = [reject for one in written for reject in one.rejects]
    _write_rejects(directory / f"{held.name}-{split}.rejects.jsonl", rejects, show)
    held.save(directory)
    _remove_other_files(directory, held, held.splits[split], plan.how.index)
    return held.splits[split]


def _write_planned(directory, held, plan, tell):
    """Writes files whose number is known; goes on where it was broken off."""
    names = [
        metadata.file_name(held.name, plan.split, number, plan.files)
        for number in range(plan.files)
    ]
    parts = plan.parts()
    done = _kept(directory, held, plan, names, parts)
    for one in done.values():
        tell(one.shard.records, one.shard.bytes)
    left = [number for number, name in enumerate(names) if name not in done]
    tasks = [plan.task(directory / names[number], parts[number]) for number in left]
    with contextlib.closing(workers.write(tasks, plan.workers, tell)) as writing:
        for _, one in writing:
            done[one.shard.file] = one
            if len(done) < plan.files:
                ordered = tuple(done[name] for name in names if name in done)
                held.begun[plan.split] = metadata.Begun(plan.files, ordered)
                held.claim(directory)
                rest = (plan.nbytes or 0) * (plan.files - len(done)) // plan.files
                _check_room(directory, rest)
    return [done[name] for name in names]


def _write_rolling(directory, held, plan, tell):
    """Writes files whose number is known in the end; returns their `Written`."""
    hidden = f".{held.name}-{plan.split}.rolling-"
    for path in directory.glob(f"{hidden}*"):
        _atomic.remove(path)
    stream, written = Stream(plan.source.pieces()), []
    while stream.more() or not written:
        path = directory / f"{hidden}{len(written):05d}"
        part = stream.part(size=plan.how.shard_bytes)
        written.append(write_shard(plan.task(path, part), tell))
        _check_room(directory, 0)
    for number, one in enumerate(written):
        path = directory / one.shard.file
        place = held.name, plan.split, number, len(written)
        final = directory / metadata.file_name(*place)
        if index.path_of(path).exists():
            _atomic.rename(index.path_of(path), index.path_of(final))
        _atomic.rename(path, final)
        shard = dataclasses.replace(one.shard, file=final.name)
        written[number] = dataclasses.replace(one, shard=shard)
    return written


def _kept(directory, held, plan, names, parts):
    """Returns what a conversion that was broken off has written, by name of the file."""
    begun = held.begun.pop(plan.split, None)
    if not begun or begun.files != plan.files or not plan.how.resume:
        return {}
    there = {one.shard.file: one for one in begun.written if one.source}
    kept = {
        name: there[name]
        for name, part in zip(names, parts)
        if name in there
        and part.fingerprint() == there[name].source
        and holds(directory / name, there[name].shard)
    }
    if kept and plan.how.progress:
        files = metadata.many(plan.files, "file")
        print(f"{plan.split}: going on, {len(kept)} of {files} there", file=sys.stderr)
    return kept


def _planned(found, name, before, overwrite):
    """Returns the `Metadata` to begin with; refuses what does not fit together."""
    fields, nest = _agreed(found)
    held = metadata.Metadata(name, fields, nest, {})
    if before is None:
        return held
    there = before.splits
    for split in found:
        must = f"another than {sorted(there)}, or overwrite=True given"
        check(overwrite or split not in there, "convert", "split", must, split)
    same = (before.fields, before.supervised) == (fields, nest)
    must = f"of the fields the directory has: {[str(field) for field in before.fields]}"
    alone = set(there) <= set(found)
    check(same or alone, "convert", "source", must, [str(field) for field in fields])
    begun = dict(before.begun) if same else {}
    return dataclasses.replace(held, splits=dict(there), begun=begun)


def _agreed(found):
    """Returns fields and nest of the splits of a source, which all have the same."""
    (first, one), *others = found.items()
    for split, part in others:
        same = (part.fields, part.nest) == (one.fields, one.nest)
        must = f"of the same fields in {split} as in {first}: {[*map(str, one.fields)]}"
        check(same, "convert", "source", must, [*map(str, part.fields)])
    return one.fields, one.nest


def _before(directory):
    """Returns the metadata of a folder that is ours; refuses one that is another's."""
    free = directory.is_dir() or not directory.exists()
    check(free, "convert", "directory", "a folder, or free", str(directory))
    before = metadata.read(directory)
    theirs = [
        n for n in ("dataset_info.json", "features.json") if (directory / n).exists()
    ]
    ours = not before.adopted if before else not theirs
    must = f"without a dataset that convert did not write: it has {theirs}"
    check(ours, "convert", "directory", must, str(directory))
    return before


def _labels(before):
    return {f.name: f.labels for f in before.fields if f.labels} if before else {}


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


def _check_room(directory, nbytes):
    """Refuses what would not fit on the disk."""
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    if free < nbytes:
        told = f"{nbytes / 1e6:,.0f} MB are to be written, and {free / 1e6:,.0f} are free"
        raise OSError(errno.ENOSPC, told, str(directory))


def _full(directory, number):
    told = f"{os.strerror(number)}; files that are whole are kept, and converting again "
    return OSError(number, f"{told}goes on with the others", str(directory))


def _announced(directory, plan):
    rows = "rows" if plan.source.count is None else f"{plan.source.count:,} rows"
    into = f" into {metadata.many(plan.files, 'file')}" if plan.files else ""
    lines = [f"{plan.split}: {rows}{into} in {directory}"]
    return "\n".join([*lines, *(f"  {field}" for field in plan.source.fields)])


def _write_rejects(path, rejects, show):
    if not rejects:
        _atomic.remove(path)
        return
    lines = (json.dumps({"row": row, "reason": reason}) + "\n" for row, reason in rejects)
    _atomic.write_text(path, "".join(lines))
    if show:
        told = f"{metadata.many(len(rejects), 'row')} left out: see {path}"
        print(told, file=sys.stderr)


def _remove_other_files(directory, held, split, indexed):
    """Removes what earlier conversions of the split left under other names."""
    kept = {shard.file for shard in split.shards}
    if indexed or held.layout is None:
        kept |= {f"{file}.idx" for file in kept}
    for path in directory.glob(f"{held.name}-{split.name}.tfrecord-*-of-*"):
        if path.name not in kept:
            _atomic.remove(path)
    for path in directory.glob("*.labels.txt"):
        if path.name not in held.texts():
            _atomic.remove(path)

"""Datasets into records: the files, one after another, and what is said of them."""

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import sys
from typing import Any

from keras_sched import _atomic
from keras_sched._types import ImageFormat, OnError, PathLike
from keras_sched.tfrecord import index, metadata, progress, workers
from keras_sched.tfrecord.errors import check_data
from keras_sched.tfrecord.files import holds
from keras_sched.tfrecord.plan import How, alone, begin, check_room, planned
from keras_sched.tfrecord.sources import Rows, Stream
from keras_sched.tfrecord.words import many
from keras_sched.tfrecord.writer import write_shard

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def convert(
    source: Any,
    directory: PathLike,
    *,
    name: str | None = None,
    split: str | None = None,
    shards: int | None = None,
    shard_bytes: int = 128 * 2**20,
    image_format: ImageFormat = "keep",
    workers: int | None = None,
    on_error: OnError = "raise",
    resume: bool = True,
    overwrite: bool = False,
    index: bool = False,
    progress: bool = True,
) -> Any:  # Which of the two it is depends on the source.
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
              one length. Lists, for arrays that differ in shape. A `.npz` file. A
              `pandas.DataFrame`, as the dict of its columns.
            - `tf.data.Dataset` of dense tensors, an element a record.
            - Folder of folders with images (JPEG, PNG, BMP, GIF, WebP), one a class; or
              of such folders for each split: train, test, validation.
            - CSV file, in UTF-8. A column of which a tenth of the values or more end as
              names of images do holds paths, relative to it, of images: the others are
              rows that cannot be written. Else it is numbers, if all are, or text: so
              stay numbers with leading zeros, and whole ones that no integer holds.
              A column "label" or "class" of text is one of classes.
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
            other formats, as such files. "raw": image files as arrays of their pixels,
            as Pillow decodes them. Refused where it cannot be: "raw" for images that come
            in rows, and all for image files that come as mere bytes.
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
            data that do not fit the splits that are, or a row that cannot be written;
            for names of classes that are not one line each, which TFDS would not count.
        OSError: Where the disk is full, or a file cannot be read.

    >>> images, labels = np.zeros((100, 8, 8, 1), "uint8"), np.arange(100) % 10
    >>> print(tfrecord.convert((images, labels), directory, split="test"))
    test: 100 records, 12,200 bytes in 1 file
    """
    how = How(
        shards, shard_bytes, image_format, workers, on_error, resume, index, progress
    )
    directory = metadata.folder(directory)
    plans, new = planned(source, directory, name, split, overwrite, how)
    with alone(directory):
        files = {split: plan.files for split, plan in plans.items()}
        held = begin(directory, new, files, overwrite, resume)
        written, last = {}, list(plans)[-1]
        with _told_if_full(directory, plans):
            for split, plan in plans.items():
                written[split] = _write(directory, held, plan, split == last)
            done = publish(directory, held, written, index, progress)
    return done if len(done) > 1 else done.popitem()[1]


def _write(directory, held, plan, is_last):
    """Writes the files of one split; returns their `metadata.Written`."""
    split, show = plan.split, plan.how.progress
    if show:
        print(_announced(directory, plan), file=sys.stderr)
    with progress.shown(split if show else None, plan.source.count) as tell:
        if plan.files:
            return _write_planned(directory, held, plan, tell, is_last)
        return _write_rolling(directory, held, plan, tell)


def publish(directory, held, written, indexed, show=False):
    """Lists splits whose files are all written.

    Args:
        directory: Folder of the files.
        held: Its `Metadata`.
        written: By name of a split, its `metadata.Written`, in order.
        indexed: Whether the files have indices.
        show: Whether to say which rows were left out.

    Returns:
        Dict of `Split` by name.
    """
    for split, files in written.items():
        rejects = [reject for one in files for reject in one.rejects]
        written_any = any(one.shard.records for one in files)
        if not written_any:
            _remove(directory, held.name, split)
            held.begun[split] = dataclasses.replace(held.begun[split], written=())
            held.claim(directory)
        must = f"rows of which some can be written, in {split} too"
        check_data(written_any, "convert", "source", must, rejects)
        shards = tuple(one.shard for one in files)
        held.splits[split] = metadata.Split(split, shards, len(rejects))
        held.begun.pop(split, None)
        _write_rejects(directory / f"{held.name}-{split}.rejects.jsonl", rejects, show)
    for split in written:
        _remove_other_files(directory, held, held.splits[split], indexed)
    classes = {metadata.labels_file(field) for field in held.fields if field.labels}
    for path in directory.glob("*.labels.txt"):
        if path.name not in classes:
            _atomic.remove(path)
    held.save(directory)
    return {split: held.splits[split] for split in written}


def _write_planned(directory, held, plan, tell, is_last):
    """Writes files whose number is known; goes on where it was broken off."""
    names = [
        metadata.file_name(held.name, plan.split, number, plan.files)
        for number in range(plan.files)
    ]
    parts = plan.parts()
    done = _kept(directory, held, plan, names, parts)
    for one in done.values():
        tell(one.shard.records, one.shard.bytes, new=False)
    left = [number for number, name in enumerate(names) if name not in done]
    resumable = plan.files > 1 or not is_last  # Else there is nothing to go on with.
    tasks = [
        plan.task(directory / names[number], parts[number], resumable) for number in left
    ]
    with contextlib.closing(workers.write(tasks, plan.workers, tell)) as writing:
        for one in writing:
            done[one.shard.file] = one
            if len(done) < plan.files or not is_last:
                ordered = tuple(done[name] for name in names if name in done)
                held.begun[plan.split] = metadata.Begun(plan.files, ordered)
                held.claim(directory)
                rest = (plan.nbytes or 0) * (plan.files - len(done)) // plan.files
                check_room(directory, rest)
    return [done[name] for name in names]


def _write_rolling(directory, held, plan, tell):
    """Writes files whose number is known in the end; returns their `Written`."""
    hidden = f".{held.name}-{plan.split}.rolling-"
    stream, written = Stream(plan.source.pieces()), []
    while stream.more() or not written:
        path = directory / f"{hidden}{len(written):05d}"
        part = stream.part(size=plan.how.shard_bytes)
        written.append(write_shard(plan.task(path, part, resumable=False), tell))
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
    begun = held.begun[plan.split]
    there = {one.shard.file: one for one in begun.written if one.source}
    indexed = plan.how.index or held.layout is None
    kept = {}
    for name, part in zip(names, parts):
        one, path = there.get(name), directory / name
        if (
            one
            and (plan.how.on_error == "skip" or not one.rejects)
            and (index.path_of(path).exists() or not indexed)
            and part.fingerprint() == one.source
            and holds(path, one.shard)
        ):
            kept[name] = one
    if kept and plan.how.progress:
        files = many(plan.files, "file")
        print(f"{plan.split}: going on, {len(kept)} of {files} there", file=sys.stderr)
    return kept


@contextlib.contextmanager
def _told_if_full(directory, plans):
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        goes_on = all(isinstance(plan.source, Rows) for plan in plans.values())
        told = "rows come one by one, so converting again begins anew"
        if goes_on:
            told = "files that are whole are kept, and converting again goes on with "
            told += "the others"
        told = f"{os.strerror(error.errno)}; {told}"
        raise OSError(error.errno, told, str(directory)) from error


def _announced(directory, plan):
    rows = "rows" if plan.source.count is None else many(plan.source.count, "row")
    into = f" into {many(plan.files, 'file')}" if plan.files else ""
    lines = [f"{plan.split}: {rows}{into} in {directory}"]
    return "\n".join([*lines, *(f"  {field}" for field in plan.source.fields)])


def _write_rejects(path, rejects, show):
    if not rejects:
        if path.exists():
            _atomic.remove(path)
        return
    lines = (json.dumps({"row": row, "reason": reason}) + "\n" for row, reason in rejects)
    _atomic.write_text(path, "".join(lines))
    if show:
        told = f"{many(len(rejects), 'row')} left out: see {path}"
        print(told, file=sys.stderr)


def _remove_other_files(directory, held, split, indexed):
    """Removes what earlier conversions of the split left, under other names or hidden."""
    kept = {shard.file for shard in split.shards}
    if indexed or held.layout is None:
        kept |= {f"{file}.idx" for file in kept}
    _remove(directory, held.name, split.name, kept)


def _remove(directory, name, split, kept=()):
    """Removes the files of a split, and hidden ones, but those that are kept."""
    begins = f"{name}-{split}.tfrecord-*-of-*", f".{name}-{split}[~.]*"
    for path in itertools.chain(*map(directory.glob, (*begins, f".{begins[1]}"))):
        if path.name not in kept:
            _atomic.remove(path)

"""Damaged files without what is damaged in them."""

import dataclasses
import pathlib

import numpy as np

from keras_sched import _atomic
from keras_sched._checks import check
from keras_sched._types import PathLike
from keras_sched.tfrecord import index, metadata, records
from keras_sched.tfrecord.errors import check_data
from keras_sched.tfrecord.files import at_most, holds, mapped
from keras_sched.tfrecord.verify import decoded, examine, stale, wrong_indices
from keras_sched.tfrecord.words import many
from keras_sched.tfrecord.writer import write_pieces


@dataclasses.dataclass(frozen=True)
class Mended:
    """One file that was damaged.

    Attributes:
        file: Its name.
        records: How many records it had.
        kept: How many of them are sound.
    """

    file: str
    records: int
    kept: int

    def __str__(self):
        lost = max(self.records - self.kept, 0)
        return f"{self.file}: {many(self.kept, 'record')} kept, {lost:,} lost"


@dataclasses.dataclass(frozen=True)
class Repair:
    """What `repair` would do, or has done.

    Attributes:
        mended: Tuple of `Mended`, a file each.
        restated: Names of TFDS's files that said otherwise than `metadata.json`.
        done: Whether that has been done.
    """

    mended: tuple[Mended, ...]
    restated: tuple[str, ...]
    done: bool

    def __str__(self):
        lines = [*map(str, self.mended), *(f"{n}: written anew" for n in self.restated)]
        if lines and not self.done:
            lines.append("nothing has been changed yet: this was a dry run")
        return "\n".join(lines or ["nothing to repair"])


def repair(directory: PathLike, *, dry_run: bool = True, decode: bool = False) -> Repair:
    """Takes damaged records out of their files, and corrects what is said of those.

    Each damaged file is written anew, beside the old one, from its sound records; where
    two files have changed names, they change back. All are put in place when the metadata
    are right. Killed on the way, it goes on when it is called again.

    Args:
        directory: What `convert` was given.
        dry_run: Whether to say only what would be kept and lost, and to change nothing.
        decode: Whether to take out records too whose images cannot be decoded.

    Returns:
        `Repair`.

    Raises:
        ValueError: For a folder that `convert` did not write, or a file of which nothing
            can be saved; then nothing has been changed.

    >>> split = tfrecord.convert({"x": np.arange(5)}, directory, name="five")
    >>> file = directory / split.shards[0].file
    >>> _ = file.write_bytes(file.read_bytes()[:-1])
    >>> print(tfrecord.repair(directory, dry_run=False))
    five-train.tfrecord-00000-of-00001: 4 records kept, 1 lost
    >>> len(tfrecord.load(directory))
    4
    """
    directory = metadata.folder(directory)
    held = metadata.read(directory)
    ours = held and not held.adopted
    check(ours, "repair", "directory", "a folder that convert wrote", str(directory))
    begun = [f"{split}: {begun}" for split, begun in held.begun.items()]
    must = "one whose conversion is complete: convert it again"
    check_data(not begun, "repair", "directory", must, begun)
    restated = [damage.file for damage in stale(directory, held)]
    if not dry_run:
        _put_in_place(directory, held)
    parts = list(_saved(directory, held, decode))
    restated += [damage.file for damage in stale(directory, held)]
    restated = list(dict.fromkeys(restated))
    if not dry_run:
        new = {
            part.shard.file: part.write(_beside(directory, part.shard)) for part in parts
        }
        if new or restated:
            held = held.with_shards(new)
            held.save(directory)
            _put_in_place(directory, held)
    mended = [Mended(part.shard.file, part.shard.records, part.records) for part in parts]
    return Repair(tuple(mended), tuple(restated), not dry_run)


@dataclasses.dataclass(frozen=True)
class _Part:
    """What is saved of a shard: those pieces of a file."""

    shard: metadata.Shard
    path: pathlib.Path
    pieces: tuple

    @property
    def records(self):
        return len(self.pieces)

    def write(self, path):
        """Writes it to a file; returns the `metadata.Shard` that describes it."""
        content = mapped(self.path)
        pieces = ((content[begin:end], [end - begin]) for begin, end in self.pieces)
        written = write_pieces(path, pieces)
        named = dict(file=self.shard.file, images=self.shard.images)
        return dataclasses.replace(written, **named)


def _saved(directory, held, decode):
    """Yields what can be saved of each damaged file; refuses if that is nothing."""
    waiting = [s for s in held.shards if holds(_beside(directory, s), s)]
    examined = examine(directory, held, [s for s in held.shards if s not in waiting])
    if decode and held.layout is None:
        examined = [decoded(directory, held.read_as, one) for one in examined]
    holders = {one.crc32c: directory / one.shard.file for one in examined}
    for one in examined:
        shard = one.shard
        if not one.damages:
            continue
        holder = holders.get(shard.crc32c)
        if holder and one.crc32c != shard.crc32c:
            begins, ends, _ = records.walk(mapped(holder))
            yield _Part(shard, holder, tuple(zip(begins.tolist(), ends.tolist())))
            continue
        must = f"one in which something of {shard.file} is left: convert anew"
        told = "; ".join(map(str, one.damages))
        check_data(one.pieces, "repair", "directory", must, told)
        yield _Part(shard, directory / shard.file, _as_many(directory, one))


def _as_many(directory, one):
    """Returns the places of a file's sound records, of no more than were written."""
    begins, ends = np.array(one.pieces, "int64").T
    content = mapped(directory / one.shard.file)
    kept = at_most(one.shard.records, content, begins, ends)
    return tuple(one.pieces[number] for number in kept)


def _put_in_place(directory, held):
    """Gives the files their names that wait beside the old ones; removes other rests."""
    for shard in held.shards:
        beside = _beside(directory, shard)
        if holds(beside, shard):
            _atomic.rename(beside, directory / shard.file)
        elif beside.exists():
            _atomic.remove(beside)
    for path in wrong_indices(directory, held):
        begins, ends, _ = records.walk(mapped(path))
        index.write(path, ends - begins)


def _beside(directory, shard):
    return directory / f".{shard.file}.repaired"

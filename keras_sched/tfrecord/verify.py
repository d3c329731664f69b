"""Whether the files of a directory are what was written."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_sched._checks import check
from keras_sched._types import PathLike
from keras_sched.tfrecord import index, metadata, parse, records
from keras_sched.tfrecord.files import checksum, mapped, sound
from keras_sched.tfrecord.words import many

_FILE = re.compile(r"[^.].*\.tfrec(ords?)?(-\d+-of-\d+)?|[^.]+-\d+-of-\d+")
_NAMES = "*.tfrecord, *.tfrec, *.tfrecord-00000-of-00002 or NAME-00000-of-00002"


@dataclasses.dataclass(frozen=True)
class Damage:
    """One thing that is wrong.

    Attributes:
        file: Name of the file.
        record: How many records of it lie before, or `None` for the file as a whole.
        offset: Byte at which the record begins, or `None`.
        what: What is wrong there.
    """

    file: str
    record: int | None
    offset: int | None
    what: str

    def __str__(self):
        place = "" if self.record is None else f", record {self.record}"
        place += "" if self.offset is None else f", byte {self.offset}"
        return f"{self.file}{place}: {self.what}"


@dataclasses.dataclass(frozen=True)
class Verification:
    """What `verify` has found.

    Attributes:
        directory: The folder.
        files: How many files of records were read.
        records: How many sound records they have.
        bytes: How long they are.
        damages: Tuple of `Damage`, in the order of the files.
    """

    directory: str
    files: int
    records: int
    bytes: int
    damages: tuple[Damage, ...]

    @property
    def sound(self) -> bool:
        return not self.damages

    def __str__(self):
        files = many(self.files, "file")
        total = f"{many(self.records, 'sound record')}, {self.bytes:,} bytes in {files}"
        count = len(self.damages)
        found = many(count, "damage") if count else "nothing is damaged"
        return "\n".join([*map(str, self.damages), f"{total}: {found}"])


def verify(
    directory: PathLike,
    *,
    decode: bool = False,
    on_bytes: Callable[[int, int], Any] | None = None,
) -> Verification:
    """Reads every byte and tells what is not as it was written.

    A file of `convert` is held against its checksum, and record by record where that is
    wrong; one of another writer record by record, and against the counts of
    `dataset_info.json`, if there is one. After damage it looks for the next sound record.

    Args:
        directory: Folder with files of records.
        decode: Whether to parse each record too that `load` would parse, and to decode
            its images.
        on_bytes: Function of how many bytes have just been read and how many there are in
            all, for a progress bar.

    Returns:
        `Verification`: no file of it is changed.

    Raises:
        ValueError: For what is no folder, or one without records.

    >>> _ = tfrecord.convert({"x": np.arange(5)}, directory, name="five")
    >>> print(tfrecord.verify(directory))
    5 sound records, 195 bytes in 1 file: nothing is damaged
    """
    directory = metadata.folder(directory)
    check(directory.is_dir(), "verify", "directory", "a folder", str(directory))
    held = metadata.read(directory)
    shards = [*held.shards, *held.begun_shards] if held else found(directory, "verify")
    must = "False for files whose fields are not known (inspect can adopt them)"
    check(held or not decode, "verify", "decode", must, decode)
    examined = examine(directory, held, shards, on_bytes)
    if decode and held.layout is None:
        examined = [decoded(directory, held.read_as, one) for one in examined]
    read = [one for one in examined if one.bytes is not None]
    return Verification(
        directory=str(directory),
        files=len(read),
        records=sum(one.records for one in read),
        bytes=sum(one.bytes for one in read),
        damages=(*stale(directory, held), *(d for one in examined for d in one.damages)),
    )


@dataclasses.dataclass(frozen=True)
class Examined:
    """What a file is found to be; `bytes` is `None` where there is none.

    `pieces` are the places of its sound records, if it is not as a file was written.
    """

    shard: metadata.Shard
    bytes: int | None = None
    records: int = 0
    crc32c: int | None = None
    damages: tuple = ()
    pieces: tuple = ()


def examine(directory, held, shards, on_bytes=None):
    """Returns an `Examined` for each shard, against the `Metadata` of the directory."""
    paths = [directory / shard.file for shard in shards]
    total = sum(path.stat().st_size for path in paths if path.is_file())
    tell = on_bytes or (lambda *counts: None)
    layout = held and held.layout
    places = {shard.crc32c: shard.file for shard in shards if held}
    return [
        _examine(path, shard, layout, places, lambda count: tell(count, total))
        for path, shard in zip(paths, shards)
    ]


def _examine(path, shard, layout, places, tell):
    def harm(what, record=None, offset=None):
        return Damage(shard.file, record, offset, what)

    if not path.is_file():
        return Examined(shard, damages=(harm("is missing"),))
    content = mapped(path)
    size, crc = len(content), checksum(content, tell)
    as_written = crc == shard.crc32c and size == shard.bytes
    other = None if as_written else places.get(crc)
    if as_written or other:
        damages = (harm(f"holds what was written as {other}"),) if other else ()
        return Examined(shard, size, shard.records, crc, damages)
    begins, ends, flaws = sound(content, layout)
    damages = [harm(flaw.what, flaw.record, flaw.offset) for flaw in flaws]
    there, wanted = len(begins) + len(flaws), shard.records
    counted = wanted is not None and (len(begins) or not flaws)
    if counted and (there < wanted or (there > wanted and not flaws)):
        damages.append(harm(f"has {many(there, 'record')}, not {wanted}"))
    elif shard.crc32c is not None and not damages:
        damages.append(harm("is sound, but holds other records than were written"))
    pieces = tuple(zip(begins.tolist(), ends.tolist()))
    return Examined(shard, size, len(begins), crc, tuple(damages), pieces)


def decoded(directory, fields, one):
    """Returns the same `Examined`, with the damages of records that cannot be decoded."""
    import tensorflow as tf

    if not one.records:
        return one
    content, damages = mapped(directory / one.shard.file), []
    begins, ends, _ = records.walk(content)
    if one.pieces:
        begins, ends = np.array(one.pieces, "int64").reshape(-1, 2).T

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def attempt(payload):
        return parse.one(payload, fields)

    for number, payload in enumerate(records.payloads(content, begins, ends)):
        try:
            attempt(payload)
        except tf.errors.OpError as error:
            what = f"cannot be decoded: {parse.telling(error)}"
            place = number, int(begins[number])
            damages.append(Damage(one.shard.file, *place, what))
    bad = {damage.offset for damage in damages}
    places = zip(begins.tolist(), ends.tolist())
    return dataclasses.replace(
        one,
        records=one.records - len(damages),
        damages=(*one.damages, *damages),
        pieces=tuple(place for place in places if place[0] not in bad),
    )


def found(directory, owner):
    """Returns the shards of a folder that another has written, with what is known.

    Raises:
        ValueError: For a folder without any.
    """
    info = directory / "dataset_info.json"
    try:
        counts = _counts(json.loads(info.read_text("utf-8"))) if info.is_file() else {}
    except (ValueError, KeyError, TypeError) as error:
        must = f"one whose {info.name} is as TFDS writes it"
        check(False, owner, "directory", must, error)
    there = {path.name for path in directory.iterdir() if _FILE.fullmatch(path.name)}
    must = f"a folder with TFRecord files, which are called {_NAMES}"
    check(there or counts, owner, "directory", must, str(directory))
    return [
        metadata.Shard(file, counts.get(file), None, None)
        for file in sorted(there | counts.keys())
    ]


def _counts(content):
    """Returns how many records each file has by the text of a `dataset_info.json`."""
    counts = {}
    for split in content["splits"]:
        lengths = split["shardLengths"]
        for number, count in enumerate(lengths):
            place = content["name"], split["name"], number, len(lengths)
            counts[metadata.file_name(*place)] = int(count)
    return counts


def wrong_indices(directory, held):
    """Yields the paths of files that are whole, and whose index is not of them.

    Files of records of several lengths must have one, others may.
    """
    several = held.layout is None
    for shard in held.shards:
        path = directory / shard.file
        expected = path.is_file() and (several or index.path_of(path).exists())
        if expected and not index.is_right(path, mapped(path), shard.records):
            yield path


def stale(directory, held):
    """Yields the files of the directory that say otherwise than its metadata."""
    if not held or held.adopted:
        return
    for split, begun in held.begun.items():
        yield Damage(f"{split} split", None, None, f"is {begun}: convert it again")
    if held.begun:
        return  # What the files should say is not known yet.
    for path in wrong_indices(directory, held):
        name = index.path_of(path).name
        yield Damage(name, None, None, f"is not the index of {path.name}")
    for file, text in held.texts().items():
        path = directory / file
        try:
            there = path.read_text(encoding="utf-8")
            if path.suffix == ".txt":
                if there != text:
                    yield Damage(file, None, None, "says otherwise than metadata.json")
                continue
            there = json.loads(there)
        except (OSError, ValueError) as error:
            yield Damage(file, None, None, f"cannot be read: {error}")
            continue
        own = json.loads(text)
        there = there if isinstance(there, dict) else {}
        differing = [key for key in own if there.get(key) != own[key]]
        if differing:
            what = f"says otherwise than metadata.json: {', '.join(differing)}"
            yield Damage(file, None, None, what)

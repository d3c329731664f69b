"""What a directory of records says of itself: to TFDS, and to the reader here.

`dataset_info.json` and `features.json` are TFDS's, and any key of ours would break them.
`metadata.json`, which TFDS keeps free for others, has what it lacks: the size and the
checksum of each file, and the fields in the order of the records. It is written last and
read first: a split that is not in it is not there.
"""

import dataclasses
import json
import pathlib
from typing import Any

import google_crc32c

from keras_sched import _atomic
from keras_sched._checks import check
from keras_sched._types import PathLike
from keras_sched.tfrecord import images, layout, schema
from keras_sched.tfrecord.errors import check_data
from keras_sched.tfrecord.structure import supervised_keys
from keras_sched.tfrecord.words import many

_FILE = "metadata.json"
_VERSION = 1


def folder(directory: PathLike) -> pathlib.Path:
    """Returns the path of a directory that a user has named."""
    return pathlib.Path(directory).expanduser().absolute()


def file_name(name, split, index, count):
    """Returns what TFDS calls one of `count` files of a split."""
    return f"{name}-{split}.tfrecord-{index:05d}-of-{count:05d}"


def labels_file(field):
    """Returns what TFDS calls the file with the names of a field's classes."""
    return f"{field.name.replace('/', '-')}.labels.txt"


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file: its name, and what it must hold.

    Attributes:
        file: Its name.
        records: How many records it has.
        bytes: How long it is.
        crc32c: Checksum of all of it.
        images: By name of a field that holds image files, what these are like.
    """

    file: str
    records: int
    bytes: int
    crc32c: int
    images: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Written:
    """A file of a conversion that goes on, and what a second run must know of it.

    Attributes:
        shard: The `Shard`.
        source: Fingerprint of what was written, or `None` where there is none.
        rejects: Tuple of pairs: which row of the source was left out, and why.
    """

    shard: Shard
    source: str | None
    rejects: tuple = ()


@dataclasses.dataclass(frozen=True)
class Begun:
    """A conversion of one split that goes on, or was broken off.

    Attributes:
        files: How many files it will have, or `None` where the rows have to tell.
        written: Tuple of `Written`, those that are whole.
    """

    files: int | None
    written: tuple = ()

    def __str__(self):
        if self.files is None:
            return "not finished"
        files = many(self.files, "file")
        return f"not finished, {len(self.written)} of {files} written"


@dataclasses.dataclass(frozen=True)
class Split:
    """One split, as `convert` wrote it.

    Args:
        name: Name of the split.
        shards: Its files, in order, a `Shard` each.
        left_out: How many rows of the source could not be written.
    """

    name: str
    shards: tuple[Shard, ...]
    left_out: int = 0

    @property
    def records(self) -> int:
        return sum(shard.records for shard in self.shards)

    @property
    def bytes(self) -> int:
        return sum(shard.bytes for shard in self.shards)

    def __str__(self):
        files = many(len(self.shards), "file")
        records = many(self.records, "record")
        return f"{self.name}: {records}, {self.bytes:,} bytes in {files}"


@dataclasses.dataclass(frozen=True)
class Metadata:
    """All that a directory says of itself."""

    name: str
    fields: tuple
    supervised: tuple | None
    splits: dict
    begun: dict = dataclasses.field(default_factory=dict)
    adopted: bool = False

    @property
    def shards(self):
        return [shard for split in self.splits.values() for shard in split.shards]

    @property
    def begun_shards(self):
        """Those of conversions that are not complete."""
        return [one.shard for begun in self.begun.values() for one in begun.written]

    @property
    def layout(self):
        """The `Layout` of records of one length, or `None` where lengths differ."""
        return None if self.adopted else layout.of(self.fields)

    @property
    def images(self):
        """What the images of each field are like that holds any, by its name."""
        names = [field.name for field in self.fields if field.encoding == "image"]
        seen = {n: [s.images[n] for s in self.shards if n in s.images] for n in names}
        return {name: images.together(each) for name, each in seen.items() if each}

    @property
    def read_as(self):
        """The fields with what the files tell of their images."""
        seen = self.images
        return tuple(
            dataclasses.replace(
                field,
                shape=seen[field.name].shape,
                dtype=max(seen[field.name].dtypes),
                formats=seen[field.name].formats,
            )
            if field.name in seen
            else field
            for field in self.fields
        )

    def with_shards(self, new):
        """Returns the same with other shards, given by their files' names."""
        splits = {
            name: dataclasses.replace(
                split, shards=tuple(new.get(shard.file, shard) for shard in split.shards)
            )
            for name, split in self.splits.items()
        }
        return dataclasses.replace(self, splits=splits)

    def texts(self):
        """Returns the contents of TFDS's files by name."""
        features = schema.features_json(self.read_as)
        labels = {
            labels_file(field): "\n".join(field.labels) + "\n"
            for field in self.fields
            if field.labels
        }
        info = _text(self._info())
        return labels | {"features.json": features, "dataset_info.json": info}

    def save(self, directory):
        """Writes the files that say otherwise, and ours, last."""
        for file, text in self.texts().items():
            path = directory / file
            if not path.is_file() or path.read_bytes() != text.encode():
                _atomic.write_text(path, text)
        self.claim(directory)

    def claim(self, directory):
        """Writes our file alone, which says that the folder is ours."""
        content = {"version": _VERSION} | dataclasses.asdict(self)
        content["splits"] = [dataclasses.asdict(split) for split in self.splits.values()]
        for key in "begun", "adopted":
            if not content[key]:
                del content[key]
        whole = {"keras_sched": content, "crc32c": _checksum(content)}
        _atomic.write_text(directory / _FILE, _text(whole))

    def _info(self):
        info = {
            "name": self.name,
            "version": "1.0.0",
            "fileFormat": "tfrecord",
            "splits": [self._split_info(split) for split in self.splits.values()],
        }
        if keys := supervised_keys(self.supervised):
            items = [{"featureKey": key} for key in keys]
            info["supervisedKeys"] = {"tuple": {"items": items}}
        return info

    def _split_info(self, split):
        framing = 16 * split.records
        return {
            "name": split.name,
            "shardLengths": [str(shard.records) for shard in split.shards],
            "numBytes": str(split.bytes - framing),
            "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        }


def read(directory):
    """Returns the `Metadata` of a directory, or `None` where none was written.

    Raises:
        ValueError: If the file is there and cannot be understood.
    """
    path = pathlib.Path(directory) / _FILE
    if not path.exists():
        return None
    known = f"of version {_VERSION}, the one this release of keras_sched knows"
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        content = whole["keras_sched"]
        version = content["version"]
        check(version == _VERSION, "tfrecord", "directory", known, version)
        if whole["crc32c"] != _checksum(content):
            raise KeyError("it does not match its checksum")
        fields = tuple(_field(field) for field in content["fields"])
        splits = {entry["name"]: _split(entry) for entry in content["splits"]}
        begun = {
            split: Begun(entry["files"], tuple(map(_written, entry["written"])))
            for split, entry in content.get("begun", {}).items()
        }
        adopted = content.get("adopted", False)
        supervised = _tuples(content["supervised"])
        return Metadata(content["name"], fields, supervised, splits, begun, adopted)
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeError) as error:
        must = f"readable, but {_FILE} is not what convert writes ({error!r})"
        check_data(False, "tfrecord", "directory", must, str(directory))


def _field(entry):
    return schema.Field(**{name: _tuples(value) for name, value in entry.items()})


def _split(entry):
    shards = tuple(map(_shard, entry["shards"]))
    return Split(entry["name"], shards, entry.get("left_out", 0))


def _shard(entry):
    seen = {n: images.Images(**_tuples(one)) for n, one in entry["images"].items()}
    return Shard(**entry | {"images": seen})


def _written(entry):
    shard, rejects = _shard(entry["shard"]), _tuples(entry["rejects"])
    return Written(shard, entry["source"], rejects)


def _tuples(value):
    """Returns what JSON has made of nested tuples, as those again."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _checksum(content):
    return google_crc32c.value(json.dumps(content, sort_keys=True).encode())


def _text(content):
    return json.dumps(content, indent=2) + "\n"

"""What a directory of records says of itself: to TFDS, and to the reader here.

`dataset_info.json` and `features.json` are TFDS's, and any key of ours would break them.
`metadata.json`, which TFDS keeps free for others, has what it lacks: the size and the
checksum of each file, and the fields in the order of the records. It is written last and
read first: a split that is not in it is not there.
"""

import dataclasses
import json
import pathlib

from keras_sched import _atomic
from keras_sched._checks import check
from keras_sched.tfrecord import schema

_FILE = "metadata.json"
_VERSION = 1


def folder(directory):
    """Returns the path of a directory that a user has named."""
    return pathlib.Path(directory).expanduser().absolute()


def file_name(name, split, index, count):
    """Returns what TFDS calls one of `count` files of a split."""
    return f"{name}-{split}.tfrecord-{index:05d}-of-{count:05d}"


def many(count, noun):
    """Returns a count in words, "1 file" or "2 files"."""
    return f"{count} {noun}" + "s" * (count != 1)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file: its name, and what it must hold."""

    file: str
    records: int
    bytes: int
    crc32c: int


@dataclasses.dataclass(frozen=True)
class Split:
    """One split, as `convert` wrote it.

    Args:
        name: Name of the split.
        shards: Its files, in order, a `Shard` each.
    """

    name: str
    shards: tuple

    @property
    def records(self):
        return sum(shard.records for shard in self.shards)

    @property
    def bytes(self):
        return sum(shard.bytes for shard in self.shards)

    def __str__(self):
        files = many(len(self.shards), "file")
        return f"{self.name}: {self.records:,} records, {self.bytes:,} bytes in {files}"


@dataclasses.dataclass(frozen=True)
class Metadata:
    """All that a directory says of itself."""

    name: str
    fields: tuple
    supervised: tuple | None
    splits: dict

    @property
    def shards(self):
        return [shard for split in self.splits.values() for shard in split.shards]

    def with_shards(self, new):
        """Returns the same with other shards, given by their files' names."""
        splits = {
            name: Split(name, tuple(new.get(shard.file, shard) for shard in split.shards))
            for name, split in self.splits.items()
        }
        return dataclasses.replace(self, splits=splits)

    def texts(self):
        """Returns the contents of TFDS's files by name."""
        features = schema.features_json(self.fields)
        return {"features.json": features, "dataset_info.json": _text(self._info())}

    def save(self, directory):
        """Writes the three files, ours last."""
        for file, text in self.texts().items():
            _atomic.write_text(directory / file, text)
        self.claim(directory)

    def claim(self, directory):
        """Writes our file alone, which says that the folder is ours."""
        content = {"version": _VERSION} | dataclasses.asdict(self)
        content["splits"] = [dataclasses.asdict(split) for split in self.splits.values()]
        _atomic.write_text(directory / _FILE, _text({"keras_sched": content}))

    def _info(self):
        info = {
            "name": self.name,
            "version": "1.0.0",
            "fileFormat": "tfrecord",
            "splits": [self._split_info(split) for split in self.splits.values()],
        }
        if self.supervised:
            items = [{"featureKey": key} for key in self.supervised]
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
        content = json.loads(path.read_text(encoding="utf-8"))["keras_sched"]
        version = content["version"]
        check(version == _VERSION, "tfrecord", "directory", known, version)
        fields = tuple(_field(field) for field in content["fields"])
        splits = {entry["name"]: _split(entry) for entry in content["splits"]}
        supervised = content["supervised"] and tuple(content["supervised"])
        return Metadata(content["name"], fields, supervised, splits)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        must = f"readable, but {_FILE} is not what convert writes ({error!r})"
        check(False, "tfrecord", "directory", must, str(directory))


def _field(entry):
    return schema.Field(entry["name"], entry["dtype"], tuple(entry["shape"]))


def _split(entry):
    return Split(entry["name"], tuple(Shard(**shard) for shard in entry["shards"]))


def _text(content):
    return json.dumps(content, indent=2) + "\n"

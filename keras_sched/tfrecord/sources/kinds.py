"""Which source a user has given: of which kind, and with which splits."""

import os
import pathlib
import re

import numpy as np

from keras_sched._checks import check
from keras_sched.tfrecord.errors import check_data
from keras_sched.tfrecord.sources import files, streams
from keras_sched.tfrecord.sources.arrays import Arrays
from keras_sched.tfrecord.sources.base import Source
from keras_sched.tfrecord.sources.csv import table
from keras_sched.tfrecord.sources.encoded import encoded
from keras_sched.tfrecord.sources.hugging_face import HuggingFace

KINDS = (
    "arrays (a dict of them, or a tuple such as (x, y)), a tf.data.Dataset, a folder of "
    "class folders, a .csv or .npz file, a folder that TFDS wrote, 'tfds:NAME', a "
    "datasets.Dataset, an iterable of dicts, or a dict of such by split"
)


def splits(source, split, image_format, like):
    """Returns the sources of a source, by split.

    Args:
        source: What `convert` is given.
        split: Name of the split. `None`: all that the source has, or "train".
        image_format: As `convert` has it.
        like: By name of a field, the names of its classes in the splits that are there.
    """
    found = _splits(source, split)
    if found is None:
        return {split or "train": _one(source, image_format, like)}
    if split is not None:
        must = f"one of {sorted(found)}, which the source has"
        check(split in found, "convert", "split", must, split)
        found = {split: found[split]}
    made = {name: _made(part, image_format, like) for name, part in found.items()}
    every = {}
    for field in (field for part in made.values() for field in part.fields):
        every.setdefault(field.name, set()).update(field.labels)
    like = {n: sorted(labels) for n, labels in every.items() if labels} | like
    for name, part in found.items():
        told = {field.name: list(field.labels) for field in made[name].fields}
        is_path = isinstance(part, (str, os.PathLike))
        if is_path and any(told.get(n) != list(labels) for n, labels in like.items()):
            made[name] = _made(part, image_format, like)
    return made


def _made(part, image_format, like):
    if isinstance(part, Source):
        return encoded(part, image_format)
    return _one(part, image_format, like)


def _splits(source, split):
    """Returns the sources of each split, or `None` for a source without splits."""
    if isinstance(source, dict):
        by_split = source and all(_is_split(*item) for item in source.items())
        return dict(source) if by_split else None
    if not isinstance(source, (str, os.PathLike)):
        return None
    if str(source).startswith("tfds:"):
        import tensorflow_datasets

        builder = tensorflow_datasets.builder(str(source).removeprefix("tfds:"))
        builder.download_and_prepare()
        return _of_tfds(builder, split)
    path = pathlib.Path(source).expanduser()
    check(path.exists(), "convert", "source", f"there, or {KINDS}", str(source))
    if path.is_dir() and (path / "dataset_info.json").exists():
        import tensorflow_datasets

        return _of_tfds(tensorflow_datasets.builder_from_directory(path), split)
    if path.suffix == ".npz":
        return _of_npz(_npz(path))
    return files.splits_of(path) or None if path.is_dir() else None


def _of_tfds(builder, split):
    if split is not None and split not in builder.info.splits:
        return dict.fromkeys(builder.info.splits)
    names = [split] if split else builder.info.splits
    return {name: streams.tfds(builder, name) for name in names}


def _of_npz(arrays):
    """Returns the pairs of x_train and y_train and the like, by split."""
    parted = {name: re.fullmatch(r"([xy])_([a-z]\w*)", name) for name in arrays}
    if not all(parted.values()):
        return None
    names = dict.fromkeys(match[2] for match in parted.values())
    pairs = all(f"{part}_{name}" in parted for name in names for part in "xy")
    return {n: (arrays[f"x_{n}"], arrays[f"y_{n}"]) for n in names} if pairs else None


def _one(source, image_format, like):
    """Returns the `Source` of one split."""
    path = isinstance(source, (str, os.PathLike)) and pathlib.Path(source).expanduser()
    if path and path.is_dir():
        return files.class_folders(path, image_format, like)
    if path and path.suffix == ".csv":
        return table(path, image_format, like)
    return encoded(_in_memory(_npz(path) if path else source), image_format)


def _in_memory(source):
    """Returns the `Source` of a source that is no path."""
    if _of_module(source, "datasets") and hasattr(source, "__len__"):
        return HuggingFace(source)
    if _of_module(source, "pandas") and hasattr(source, "columns"):
        source = {name: source[name].to_numpy() for name in source.columns}
    if hasattr(source, "element_spec"):
        return streams.Dataset(source)
    if isinstance(source, (dict, tuple, np.ndarray)) or hasattr(source, "__array__"):
        return Arrays(source)
    check(hasattr(source, "__iter__"), "convert", "source", KINDS, type(source).__name__)
    return streams.Dicts(source)


def _npz(path):
    """Returns the arrays of a file by name."""
    check(path.suffix == ".npz", "convert", "source", KINDS, str(path))
    with open(path, "rb") as file:
        is_npz = file.read(2) == b"PK"
    must = "a .npz file, but this is none"
    check_data(is_npz, "convert", "source", must, str(path))
    try:
        return dict(np.load(path))
    except Exception as error:  # NumPy lets through what unpacking raises, of any kind.
        must = f"a .npz file that can be read ({error or type(error).__name__})"
        check_data(False, "convert", "source", must, str(path))


def _is_split(name, source):
    if isinstance(source, dict):  # Of arrays: or is it a nest of them?
        return name in files.SPLITS
    whole = isinstance(source, (tuple, str, os.PathLike)) or hasattr(source, "__next__")
    rows = isinstance(source, list) and source and isinstance(source[0], dict)
    whole = whole or bool(rows)
    of_others = _of_module(source, "datasets") or _of_module(source, "pandas")
    return whole or of_others or hasattr(source, "element_spec")


def _of_module(source, name):
    return type(source).__module__.partition(".")[0] == name

"""CSV files: tables, or images that their lines name."""

import pathlib

from keras_sched._checks import check
from keras_sched.tfrecord import images
from keras_sched.tfrecord.sources.arrays import Arrays
from keras_sched.tfrecord.sources.files import Files, classes

_IMAGES = 0.1  # Share of paths to images from which on a column is one of images.
_PADDED, _WHOLE = r"^\s*[+-]?0[0-9]", r"^\s*\+?[0-9]+\s*$"


def table(path, image_format, like):
    """Returns the source of a CSV file: with images, if a column has paths of them."""
    read = _read(path)
    columns, labels, paths = {}, {}, []
    for name, column in read.items():
        if not isinstance(column, list):
            columns[name] = column
        elif _names_images(column):
            columns[name] = column
            paths.append(name)
        elif name in ("label", "class"):
            labels[name] = _classes(path, column, like.get(name, ()))
            columns[name] = [labels[name].index(value) for value in column]
        else:
            columns[name] = column
    label = next((name for name in ("label", "class") if name in columns), None)
    if not paths:
        return Arrays(columns, labels)
    if len(paths) == 1 and not {"image", "file_name"} & (columns.keys() - paths):
        columns["file_name"] = columns.pop(paths[0])
        columns["image"], paths = columns["file_name"], ["image"]
    nest = (paths[0], label) if label else None
    count = len(columns[paths[0]])
    lines = [f"{path.name}, line {number + 2}" for number in range(count)]
    return Files(path.parent, columns, tuple(paths), lines, image_format, labels, nest)


def _read(path):
    """Returns the columns by name: arrays of numbers, or lists of text as it stands."""
    from pyarrow import ArrowInvalid, csv, string

    try:
        guessed = csv.read_csv(path)
        names = guessed.column_names
        twice = sorted({name for name in names if names.count(name) > 1})
        text = dict.fromkeys(names, string())
        how = csv.ConvertOptions(column_types=text)
        read = csv.read_csv(path, convert_options=how)
    except (ArrowInvalid, UnicodeError) as error:
        check(False, "convert", "source", f"a readable CSV ({error})", str(path))
    must = f"a CSV whose columns have names that differ, not twice {twice}"
    check(not twice, "convert", "source", must, str(path))
    check(read.num_rows, "convert", "source", "a CSV with lines", str(path))
    return {name: _values(path, name, guessed[name], read[name]) for name in names}


def _values(path, name, guessed, text):
    """Returns a column as numbers, where no digit of them is lost, or as text."""
    from pyarrow import types

    if _has(_PADDED, text):
        return text.to_pylist()
    if types.is_floating(guessed.type):
        return _without_loss(guessed, text)
    if not (types.is_integer(guessed.type) or types.is_boolean(guessed.type)):
        return text.to_pylist()
    must = f"a CSV without gaps, but column {name} has {guessed.null_count}"
    check(not guessed.null_count, "convert", "source", must, str(path))
    return guessed.to_numpy()


def _without_loss(guessed, text):
    """Returns floats, or of whole numbers too large for int64, these or their text."""
    from pyarrow import ArrowInvalid, compute, uint64

    if not compute.all(compute.match_substring_regex(text, _WHOLE)).as_py():
        return guessed.to_numpy()
    try:
        return compute.cast(compute.utf8_trim_whitespace(text), uint64()).to_numpy()
    except ArrowInvalid:
        return text.to_pylist()


def _has(pattern, text):
    from pyarrow import compute

    return compute.any(compute.match_substring_regex(text, pattern)).as_py()


def _names_images(column):
    """Returns whether enough of a column's values end as names of images do."""
    ends = (pathlib.PurePath(value).suffix.lower() for value in column)
    return sum(end in images.SUFFIXES for end in ends) >= _IMAGES * len(column)


def _classes(path, column, known):
    bare = next((n for n, name in enumerate(column) if not name.strip()), None)
    must = f"a CSV in which each line has a class, but line {(bare or 0) + 2} has none"
    check(bare is None, "convert", "source", must, str(path))
    return classes(column, known)

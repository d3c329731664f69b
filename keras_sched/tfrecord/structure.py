"""Nested dicts and tuples as fields with names, and back.

Dicts give their keys, joined by slashes. Of a tuple of two or three, which `fit` takes
apart, the parts are called "image" (of rank 3) or "features", "label" and
"sample_weight"; those of other tuples by their places.
"""

from itertools import accumulate

from keras_sched._checks import check

_JOIN = "{}/{}".format
_PARTS = ("features", "label", "sample_weight")


def flatten(source, rank):
    """Returns what is in a structure by name, and what `pack` needs to put it back.

    Args:
        source: Nested dicts and tuples.
        rank: Function of what is in it: of what rank that is, in one record.

    Returns:
        Dict by name, in order of name, and a nest of names; `None` for dicts alone.
    """
    leaves = {}

    def walk(inner, path):
        if isinstance(inner, dict):
            for key in inner:
                usable = isinstance(key, str) and key and "/" not in key
                must = "named by strings without a slash"
                check(usable, "convert", "source", must, key)
            return {key: walk(inner[key], (*path, key)) for key in inner}
        if isinstance(inner, tuple):
            names = _names(inner, path, rank)
            return tuple(walk(one, (*path, key)) for key, one in zip(names, inner))
        name = "/".join(path) or ("image" if rank(inner) == 3 else "features")
        leaves[name] = inner
        return name

    nest = walk(source, ())
    check(leaves, "convert", "source", "at least one array", source)
    return dict(sorted(leaves.items())), None if _is_dicts(nest) else nest


def pack(named, nest):
    """Returns fields by name as the structure that they were given in."""
    if nest is None:
        return _unflattened(named)
    if isinstance(nest, dict):
        return {key: pack(named, inner) for key, inner in nest.items()}
    if isinstance(nest, (tuple, list)):
        return tuple(pack(named, inner) for inner in nest)
    return named[nest]


def check_names(names, owner, argument):
    """Refuses names of fields that would be in one another."""
    inside = [n for n in names if {*accumulate(n.split("/")[:-1], _JOIN)} & {*names}]
    must = "of fields of which none is in another that is no dict"
    check(not inside, owner, argument, must, inside[:2])


def supervised_keys(nest):
    """Returns the features of TFDS that `as_supervised` gives, or `None`."""
    if not isinstance(nest, (tuple, list)) or len(nest) not in (2, 3):
        return None
    return tuple(_first(inner).partition("/")[0] for inner in nest)


def _names(parts, path, rank):
    if path or len(parts) not in (2, 3):
        return map(str, range(len(parts)))
    nested = isinstance(parts[0], (dict, tuple))
    is_image = not nested and rank(parts[0]) == 3
    return ["image" if is_image else _PARTS[0], *_PARTS[1:]][: len(parts)]


def _is_dicts(nest):
    return isinstance(nest, dict) and all(
        isinstance(inner, str) or _is_dicts(inner) for inner in nest.values()
    )


def _first(nest):
    while not isinstance(nest, str):
        nest = next(iter(nest.values() if isinstance(nest, dict) else nest))
    return nest


def _unflattened(named):
    tree = {}
    for name, value in named.items():
        *path, last = name.split("/")
        inner = tree
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return tree

"""Files of records harmed at random: is all harm seen, and nothing else taken?

Each round harms a copy of a small split, of records of one length or of several, in its
files, their indices or the metadata, and has `verify`, `inspect`, `load` and `repair` at
it. They may refuse, in a ValueError or an error of TensorFlow; what they give must have
been written. Prints how many rounds it was; ends with 1 at the first fault, and says how
to have it again.

    python benchmarks/fuzz_records.py --seconds 60
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_sched import tfrecord

COUNT = 24


def write(folder):
    """Writes both kinds of split; returns what their records hold."""
    chance = np.random.default_rng(0)
    table = {"number": np.arange(COUNT), "x": chance.normal(size=(COUNT, 3))}
    several = table | {"text": ["word " * (n % 5) for n in range(COUNT)]}
    for name, source in ("one_length", table), ("several", several):
        tfrecord.convert(source, folder / name, name="d", shards=3, progress=False)
    return {n: tuple(x) for n, x in zip(table["number"].tolist(), table["x"].tolist())}


def harm(folder, chance):
    """Harms one to three files of a folder."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    for _ in range(chance.integers(1, 4)):
        file = files[chance.integers(len(files))]
        content = bytearray(file.read_bytes() if file.exists() else b"")
        at = int(chance.integers(len(content) + 1))
        way = chance.integers(8)
        if way == 0:
            file.unlink(missing_ok=True)
            continue
        if way == 1:
            content = content[:at]
        elif way == 2 and content:
            content[at - 1] ^= 1 << int(chance.integers(8))
        elif way == 3:
            content[at : at + 16] = chance.bytes(16)
        elif way == 4:
            content[at:at] = chance.bytes(int(chance.integers(1, 40)))
        elif way == 5:
            content[at:] = bytes(len(content) - at)
        elif way == 6:
            content[at : at + 8] = (2 ** int(chance.integers(64))).to_bytes(8, "little")
        else:
            content += content[at:]
        file.write_bytes(content)


def attempt(function):
    """Returns what a function gives, or `None` where it refuses as it may."""
    try:
        return function()
    except (ValueError, OSError, tf.errors.OpError):
        return None


def records(folder, **how):
    data = tfrecord.load(folder, cache=False, **how)
    return {int(one["number"]): tuple(one["x"]) for one in data.as_numpy_iterator()}


def fault(folder, written):
    """Returns what is wrong with what is made of a harmed folder, or `None`."""
    report = attempt(lambda: tfrecord.verify(folder))
    read = attempt(lambda: records(folder))
    skipped = attempt(lambda: records(folder, on_corrupt="skip"))
    for name, found in ("load", read), ("load, skipping", skipped):
        if found and not found.items() <= written.items():
            return f"{name} gives what was not written"
    ours = (folder / "metadata.json").exists()  # Else they are another's.
    if ours and report and report.sound and read != written:
        return "verify calls sound what load does not read"
    attempt(lambda: tfrecord.inspect(folder))
    if attempt(lambda: tfrecord.repair(folder, dry_run=False)):
        if not tfrecord.verify(folder).sound:
            return "what repair has mended is not sound"
        if not records(folder).items() <= written.items():
            return "what repair has mended was not written"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="number of the first round")
    given, rounds = parser.parse_args(), 0
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        written, end = write(root), time.monotonic() + given.seconds
        while time.monotonic() < end:
            number = given.seed + rounds
            chance = np.random.default_rng(number)
            folder = root / "harmed"
            kind = ("one_length", "several")[number % 2]
            shutil.copytree(root / kind, folder)
            harm(folder, chance)
            if found := fault(folder, written):
                sys.exit(f"round {number}, {kind}: {found} (--seed {number})")
            shutil.rmtree(folder)
            rounds += 1
    print(f"{rounds} rounds: all harm seen, nothing taken that was not written")


if __name__ == "__main__":
    main()

"""Prints what becomes of training runs that meet a fault on the disk.

At each of the points a run is killed, or its disk fails, at one more of the operations
of one save over another, and of a whole run; then the same script runs again.
"""

import argparse
import collections
import sys

import faults
import judge

BEGINNINGS = ("overwriting", "whole")
VERDICTS = ("could not go on", "ended wrong", "lost epochs")
TITLES = ("kept by", "fault", "points", *VERDICTS, "torn .keras", "no clean error")


def main(arguments=None):
    """Returns whether a run that `CheckpointEarlyStopping` kept has lost anything."""
    asked = _parser().parse_args(arguments)
    lost = False
    print(_line(TITLES), _line(["---"] * len(TITLES)), sep="\n")
    with judge.bench(backend=asked.backend) as bench:
        for way in asked.only or bench.ways:
            for kind in faults.KINDS:
                points = _points(bench, way, kind, asked)
                print(_line([way, kind, *_counts(points)]), flush=True)
                lost |= way == "ours" and any(point.lost for point in points)
    return lost


def _points(bench, way, kind, asked):
    rest = kind, asked.every, asked.layer
    tried = [bench.points(way, begin, *rest) for begin in BEGINNINGS]
    return [point for points in tried for point in points]


def _counts(points):
    verdicts = collections.Counter(point.verdict for point in points)
    torn = sum(bool(point.torn) for point in points)
    odd = sum(not point.clean for point in points)
    return [len(points), *(verdicts[name] for name in VERDICTS), torn, odd]


def _line(cells):
    return f"| {' | '.join(map(str, cells))} |"


def _parser():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try each K-th point only")
    parser.add_argument("--only", action="append", help="one way: ours, ...")
    parser.add_argument("--layer", choices=faults.LAYERS)
    parser.add_argument("--backend", help="of Keras; by default the fastest there is")
    return parser


if __name__ == "__main__":
    sys.exit(main())

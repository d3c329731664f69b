"""Two functions by turns, and what their ratio is: machines are noisy."""

import argparse
import math
import time

import numpy as np


def arguments(document, rounds):
    """Returns what reads a benchmark's arguments: how often, and how strict."""
    made = argparse.ArgumentParser(description=document.splitlines()[0])
    made.add_argument("--rounds", type=int, default=rounds)
    told = "how many times a budget may be missed by, to see collapses alone"
    made.add_argument("--slack", type=float, default=1.0, help=told)
    return made


def compare(one, other, rounds):
    """Returns the ratios of the times of two functions, called by turns, and the medians.

    Each is called once before.
    """
    one(), other()
    times = np.empty((rounds, 2))
    for row in times:
        for place, function in enumerate((one, other)):
            begun = time.perf_counter()
            function()
            row[place] = time.perf_counter() - begun
    return times[:, 0] / times[:, 1], np.median(times, axis=0)


def interval(ratios):
    """Returns the median, and around it where it lies with a confidence of 95 %."""
    ordered, count = np.sort(ratios), len(ratios)
    chance = np.cumsum([math.comb(count, k) for k in range(count)]) / 2.0**count
    below = max(int(np.searchsorted(chance, 0.025)) - 1, 0)
    return ordered[below], np.median(ordered), ordered[count - 1 - below]

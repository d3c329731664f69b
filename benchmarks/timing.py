"""Two functions by turns, and what their ratio is: machines are noisy."""

import math
import time

import numpy as np


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

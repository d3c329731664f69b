"""Where the phases of one cycle begin and end: the same for rate and momentum."""

from keras_sched._checks import at_least, check, one_of
from keras_sched._types import Anneal


def check_phases(cycle):
    """Refuses what would make no cycle."""
    at_least(cycle, 1, "total_steps")
    start = cycle.pct_start
    most = 0.5 if cycle.three_phase else 1.0
    must = f"between 0 and {most:g}"
    must += ", as there are three phases" * cycle.three_phase
    check(0 <= start <= most, cycle, "pct_start", must, start)
    one_of(cycle, "anneal", cycle.anneal, Anneal)


def phases(cycle, values):
    """Returns the points of the cycle; their steps are PyTorch's, fractions and all."""
    end = cycle.total_steps - 1
    peak = cycle.pct_start * cycle.total_steps - 1
    if peak == end > 0:
        return (0, values[0]), (end, values[1])
    back = [2 * peak] if cycle.three_phase else []
    return tuple(zip((0, peak, *back, end), values))

"""Which records go into which batch, of one worker or of many."""

import numpy as np

from keras_sched._checks import check

_CHUNK_BYTES = 2**22


class Batches:
    """Which of the records that come in some order go into which batch of a worker.

    Worker `i` of `n` has those at places `i`, `i + n` and so on. All have as many steps:
    where one is a record short of the last, its last full batch gives one away.
    """

    def __init__(self, count, size, place, workers, drop_remainder):
        own, most, least = (
            (count - p + workers - 1) // workers for p in (place, 0, workers - 1)
        )
        must = f"of at most as many workers as there are records, {count}"
        check(least, "load", "shard", must, (place, workers))
        must = "above 1, or drop_remainder given, where workers differ by a record"
        alike = most == least or drop_remainder or (size or 1) > 1
        check(alike, "load", "batch_size", must, size)
        self.size = size = size or 1
        must = f"at most the number of records, {least}, with drop_remainder"
        steps = least // size if drop_remainder else -(-most // size)
        check(steps, "load", "batch_size", must, size)
        if drop_remainder:
            own = steps * size
        self.ends = np.minimum(np.arange(1, steps + 1) * size, own)
        if -(-own // size) < steps:
            self.ends[-2] = own - 1
        self.steps, self.own = steps, own
        lengths = np.diff(self.ends, prepend=0)
        self.whole = size if (lengths == size).all() else None

    def chunks(self, begin, nbytes):
        """Returns where each call that reads begins, ends, and how long its batches are.

        A call of Python by TensorFlow takes as long as to read some hundred kilobytes, so
        that one reads many batches, if they are small.

        Args:
            begin: Number of the first batch.
            nbytes: How long a record is.
        """
        begins = np.append(0, self.ends)[begin:-1]
        ends = self.ends[begin:]
        full = int((ends - begins == self.size).sum())  # All but the last one or two.
        most = max(_CHUNK_BYTES // int(self.size * nbytes + 1), 1)
        first = np.append(np.arange(0, full, most), np.arange(full, len(ends)))
        last = np.append(first[1:], len(ends)) - 1
        return begins[first], ends[last], ends[first] - begins[first]

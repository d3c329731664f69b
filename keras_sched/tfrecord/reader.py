"""Records into batches, by slicing files that are mapped into memory."""

import itertools
import pathlib

import numpy as np

from keras_sched._checks import check, integer
from keras_sched.tfrecord import metadata
from keras_sched.tfrecord.layout import Layout

_UNBATCHED_READ = 256


def load(
    directory,
    split="train",
    *,
    batch_size=None,
    shuffle=False,
    seed=None,
    epoch=0,
    drop_remainder=False,
    as_supervised=True,
):
    """Reads records that `convert` wrote, as a `tf.data.Dataset`.

    Its length is known, so that `fit` shows how far it is. The shuffle is of the whole
    split, without a buffer, and differs from pass to pass: the order is a function of
    `(seed, pass)`. Each record is checked against its checksum when it is first read.
    (`fit(..., shuffle=False)` saves Keras's warning that it will not shuffle a dataset.)

    Args:
        directory: What `convert` was given.
        split: Name of the split.
        batch_size: Records in a batch. `None`: single records.
        shuffle: Whether each pass has an order of its own.
        seed: Integer, or `None` for other orders in each run.
        epoch: Number of the first pass over the dataset; the next has the next.
        drop_remainder: Whether to leave out the last batch, if it is not full.
        as_supervised: Whether to give `(x, y)` where the source was such a pair; else
            a dict by name.

    Returns:
        `tf.data.Dataset` of known cardinality.

    Raises:
        ValueError: For an argument out of bounds, a split that is not there, or a file
            that is not as long as it was written. While reading, an error of TensorFlow
            names file, record and byte of a record that is damaged.

    >>> source = {"x": np.arange(5)}
    >>> _ = tfrecord.convert(source, directory, split="five")
    >>> data = tfrecord.load(directory, "five", batch_size=2)
    >>> len(data), [batch["x"].numpy().tolist() for batch in data]
    (3, [[0, 1], [2, 3], [4]])
    """
    import tensorflow as tf

    records = _Records(pathlib.Path(directory).expanduser().absolute(), split)
    if batch_size is not None:
        integer("load", "batch_size", batch_size, at_least=1)
    must = "False where there are no batches"
    check(batch_size or not drop_remainder, "load", "drop_remainder", must, True)
    if seed is not None:
        integer("load", "seed", seed)
    passes = itertools.count(integer("load", "epoch", epoch))
    size = batch_size or _UNBATCHED_READ
    full, rest = divmod(records.count, size)
    steps = full + (rest > 0 and not drop_remainder)
    must = f"at most the number of records, {records.count}, with drop_remainder"
    check(steps, "load", "batch_size", must, batch_size)
    if shuffle and seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0] >> 1)

    def read(number, step):
        index = tf.range(step * size, tf.minimum((step + 1) * size, records.count))
        if shuffle:
            key = tf.stack([tf.constant(seed, "int64"), number])
            last = tf.constant(records.count - 1, "int64")
            index = tf.random.experimental.index_shuffle(index, key, last)
        arrays = tf.numpy_function(records.read, [index], records.dtypes)
        whole = size if full == steps else None
        for array, field in zip(arrays, records.layout.fields):
            array.set_shape((whole, *field.shape))
        return records.pack(arrays, as_supervised)

    def one_pass(_):
        number = tf.numpy_function(lambda: np.int64(next(passes)), [], tf.int64)
        batches = tf.data.Dataset.range(steps)
        return batches.map(lambda step: read(number, step), tf.data.AUTOTUNE)

    dataset = tf.data.Dataset.range(1).flat_map(one_pass)
    if batch_size is None:
        dataset, steps = dataset.unbatch(), records.count
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(tf.data.AUTOTUNE)


class _Records:
    """All records of one split, mapped into memory; any of them in any order."""

    def __init__(self, directory, split):
        self.directory = directory
        self.metadata = metadata.read(directory)
        written = "a folder that convert wrote (there is no metadata.json in it)"
        check(self.metadata, "load", "directory", written, str(directory))
        splits = self.metadata.splits
        must = f"one of {sorted(splits)}, which {directory} has; was convert broken off?"
        check(split in list(splits), "load", "split", must, split)
        self.layout, self.shards = Layout(self.metadata.fields), splits[split].shards
        self.ends = np.cumsum([shard.records for shard in self.shards])
        self.count = int(self.ends[-1])
        self.blocks = [self._map(shard) for shard in self.shards]
        self.checked = [np.zeros(len(block), bool) for block in self.blocks]
        self.dtypes = [np.dtype(field.dtype) for field in self.layout.fields]

    def read(self, index):
        """Returns the fields of the records numbered in `index`, an array each."""
        rows = np.empty((len(index), self.layout.stride), "uint8")
        shards = np.searchsorted(self.ends, index, side="right")
        for shard in np.unique(shards):
            here = shards == shard
            local = index[here] - (self.ends[shard] - len(self.blocks[shard]))
            rows[here] = self._sound(shard, local)
        records = rows.view(self.layout.dtype)[:, 0]
        fields = range(len(self.layout.fields))
        return [self.layout.decode(records, number) for number in fields]

    def pack(self, arrays, as_supervised):
        named = {f.name: array for f, array in zip(self.layout.fields, arrays)}
        pair = self.metadata.supervised if as_supervised else None
        return tuple(named[name] for name in pair) if pair else named

    def _map(self, shard):
        path = self.directory / shard.file
        must = f"whole: {path} must be there and {shard.bytes} bytes long"
        size = path.stat().st_size if path.is_file() else None
        check(size == shard.bytes, "load", "directory", must, size)
        shape = (shard.records, self.layout.stride)
        return np.memmap(path, dtype="uint8", mode="r", shape=shape)

    def _sound(self, shard, local):
        """Returns records of one file; those not read before are checked."""
        rows = self.blocks[shard][local]
        new = ~self.checked[shard][local]
        if new.any():
            damage = self.layout.damage(rows[new])
            for record, what in zip(local[new][damage != ""], damage[damage != ""]):
                path = self.directory / self.shards[shard].file
                place = f"record {record}, byte {record * self.layout.stride}"
                raise ValueError(f"{path}, {place}: {what}")
            self.checked[shard][local] = True
        return rows

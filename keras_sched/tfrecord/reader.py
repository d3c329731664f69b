"""Records into batches, by slicing files that are mapped into memory."""

import warnings

import numpy as np

from keras_sched import _passes
from keras_sched._checks import check, integer, one_of
from keras_sched.tfrecord import metadata
from keras_sched.tfrecord.files import File
from keras_sched.tfrecord.layout import Layout

_CHUNK_BYTES = 2**22


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
    on_corrupt="raise",
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
        on_corrupt: "raise": a damaged record ends the reading. "skip": records that are
            damaged are left out, no others, with a warning of how many; the files are
            looked through for them at once.

    Returns:
        `tf.data.Dataset` of known cardinality.

    Raises:
        ValueError: For an argument out of bounds, a split that is not there, or a file
            that is not as long as it was written. While reading, an error of TensorFlow
            names file, record and byte of a record that is damaged, in place of the
            batches read together with it.

    >>> source = {"x": np.arange(5)}
    >>> _ = tfrecord.convert(source, directory, split="five")
    >>> data = tfrecord.load(directory, "five", batch_size=2)
    >>> len(data), [batch["x"].numpy().tolist() for batch in data]
    (3, [[0, 1], [2, 3], [4]])
    """
    import tensorflow as tf

    skip = one_of("load", "on_corrupt", on_corrupt, ("raise", "skip")) == "skip"
    records = _Records(metadata.folder(directory), split, skip)
    if batch_size is not None:
        integer("load", "batch_size", batch_size, at_least=1)
    must = "False where there are no batches"
    check(batch_size or not drop_remainder, "load", "drop_remainder", must, True)
    if seed is not None:
        integer("load", "seed", seed)
    integer("load", "epoch", epoch)
    size = batch_size or 1
    count = records.count // size * size if drop_remainder else records.count
    must = f"at most the number of records, {records.count}, with drop_remainder"
    check(count, "load", "batch_size", must, batch_size)
    steps, whole = -(-count // size), size if count % size == 0 else None
    if shuffle and seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0] >> 1)

    def read(number, first, last, batch):
        index = tf.range(first, last)
        if shuffle:
            key = tf.stack([tf.constant(seed, "int64"), number])
            most = tf.constant(records.count - 1, "int64")
            index = tf.random.experimental.index_shuffle(index, key, most)
        many = last - first
        leading = [many // batch, batch] if batch_size else [many]
        arrays = tf.numpy_function(records.read, [index, leading], records.dtypes)
        for array, field in zip(arrays, records.layout.fields):
            array.set_shape((None, *([whole] if batch_size else []), *field.shape))
        return records.pack(arrays, as_supervised)

    def give(*chunk):
        return tf.data.Dataset.from_tensor_slices(chunk if len(chunk) > 1 else chunk[0])

    chunks = tf.data.Dataset.from_tensor_slices(
        _chunks(count, size, records.layout.stride)
    )
    dataset = tf.data.Dataset.zip(_passes.numbers(epoch), chunks)
    dataset = dataset.map(lambda number, chunk: read(number, *chunk), tf.data.AUTOTUNE)
    dataset = dataset.flat_map(give)  # `unbatch` dies of arrays without elements.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _chunks(count, size, stride):
    """Returns where each call that reads begins and ends, and how long its batches are.

    A call of Python by TensorFlow takes as long as to read some hundred kilobytes, so
    that one reads many batches, if they are small.
    """
    many, full = max(_CHUNK_BYTES // (size * stride), 1) * size, count // size * size
    first = np.arange(0, full, many)
    last = np.minimum(first + many, full)
    if count > full:
        first, last = np.append(first, full), np.append(last, count)
    return first, last, np.minimum(last - first, size)


class _Records:
    """All records of one split, mapped into memory; any of them in any order."""

    def __init__(self, directory, split, skip):
        self.metadata = metadata.read(directory)
        written = "a folder that convert wrote (there is no metadata.json in it)"
        check(self.metadata, "load", "directory", written, str(directory))
        splits = self.metadata.splits
        must = f"one of {sorted(splits)}, which {directory} has; was convert broken off?"
        check(split in list(splits), "load", "split", must, split)
        self.layout, shards = Layout(self.metadata.fields), splits[split].shards
        self.files = [File(directory, shard, self.layout, skip) for shard in shards]
        self.ends = np.cumsum([file.count for file in self.files])
        self.count, self.dtypes = int(self.ends[-1]), self.layout.dtypes
        lost = sum(shard.records for shard in shards) - self.count
        must = "of records, of which some are sound"
        check(self.count, "load", "directory", must, str(directory))
        if lost:
            told = f"{lost} damaged of {self.count + lost} records of `{split}` in "
            told += f"{directory} are left out; verify names them"
            warnings.warn(told, stacklevel=3)

    def read(self, index, leading):
        """Returns the records numbered in `index`, an array with those axes a field."""
        rows = np.empty((len(index), self.layout.stride), "uint8")
        files = np.searchsorted(self.ends, index, side="right")
        for number in np.unique(files):
            here, file = files == number, self.files[number]
            rows[here] = file.read(index[here] - (self.ends[number] - file.count))
        records = rows.view(self.layout.dtype)[:, 0]
        arrays = [self.layout.decode(records, n) for n in range(len(self.layout.fields))]
        return [array.reshape(*leading, *array.shape[1:]) for array in arrays]

    def pack(self, arrays, as_supervised):
        named = {f.name: array for f, array in zip(self.layout.fields, arrays)}
        pair = self.metadata.supervised if as_supervised else None
        return tuple(named[name] for name in pair) if pair else named

"""Records into batches: sliced where they have one length, else parsed many at a time."""

import dataclasses
import sys
import warnings

import numpy as np

from keras_sched import _passes
from keras_sched._checks import check, integer, one_of
from keras_sched.tfrecord import metadata, parse
from keras_sched.tfrecord.cache import Cache, fits, nbytes
from keras_sched.tfrecord.files import File
from keras_sched.tfrecord.structure import pack

_CHUNK_BYTES = 2**22


def load(
    directory,
    split="train",
    *,
    batch_size=None,
    shuffle=False,
    seed=None,
    epoch=0,
    step=0,
    repeat=1,
    shard=None,
    cache="auto",
    image_size=None,
    drop_remainder=False,
    as_supervised=True,
    on_corrupt="raise",
    explain=False,
):
    """Reads records that `convert` wrote, or `adopt` knows, as a `tf.data.Dataset`.

    Its length is known, so that `fit` shows how far it is. The shuffle is of the whole
    split, without a buffer, and differs from pass to pass: the order is a function of
    `(seed, pass)`, and with `step` a run goes on in the middle of one. Each record is
    checked against its checksum when it is first read. (`fit(..., shuffle=False)` saves
    Keras's warning that it will not shuffle a dataset.)

    Records of one length are sliced out of their files. Others are parsed by TensorFlow,
    a batch or more in one call, and their images decoded.

    Args:
        directory: What `convert` was given.
        split: Name of the split.
        batch_size: Records in a batch. `None`: single records.
        shuffle: Whether each pass has an order of its own.
        seed: Integer, or `None` for other orders in each run.
        epoch: Number of the first pass over the dataset; the next has the next.
        step: Number of the batch that the first pass begins with.
        repeat: How many passes the dataset is. `None`: without end.
        shard: Pair `(index, count)`: which of so many workers this is. Each has other
            records, all together all of them, and in as many steps: step by step what one
            would have alone, with batches of all together.
        cache: Whether to keep decoded records in memory. "auto": where images are decoded
            to one size, and all take at most half of the memory that is free.
        image_size: Pair `(height, width)` to which image files are resized. `None`: as
            they are; then they have to be of one size, to be batched.
        drop_remainder: Whether to leave out the last batch, if it is not full.
        as_supervised: Whether to give `(x, y)` where the source was such a pair, or what
            else it was; else a dict by name.
        on_corrupt: "raise": a damaged record ends the reading. "skip": records that are
            damaged are left out, no others, with a warning of how many; the files are
            looked through for them at once.
        explain: Whether to say, on the error stream, how it reads and why.

    Returns:
        `tf.data.Dataset` of known cardinality.

    Raises:
        ValueError: For an argument out of bounds, a split that is not there, or a file
            that is not as long as it was written. While reading, an error of TensorFlow
            names file, record and byte of a record that is damaged, in place of the
            batches read together with it.

    >>> source = {"x": np.arange(5)}
    >>> _ = tfrecord.convert(source, directory, split="five", progress=False)
    >>> data = tfrecord.load(directory, "five", batch_size=2)
    >>> len(data), [batch["x"].numpy().tolist() for batch in data]
    (3, [[0, 1], [2, 3], [4]])
    """
    import tensorflow as tf

    skip = one_of("load", "on_corrupt", on_corrupt, ("raise", "skip")) == "skip"
    one_of("load", "cache", cache, ("auto", True, False))
    if batch_size is not None:
        integer("load", "batch_size", batch_size, at_least=1)
    must = "False where there are no batches"
    check(batch_size or not drop_remainder, "load", "drop_remainder", must, True)
    for name, value in {"seed": seed, "epoch": epoch, "step": step}.items():
        if name != "seed" or value is not None:
            integer("load", name, value)
    if repeat is not None:
        integer("load", "repeat", repeat, at_least=1)
    image_size = _pair("image_size", image_size, 1)
    place, workers = _pair("shard", shard, 0) or (0, 1)
    must = "a pair (index, count) with an index below the count"
    check(place < workers, "load", "shard", must, shard)
    records = _Records(metadata.folder(directory), split, skip, image_size)
    must = "None where records differ in shape, to be mapped to one and batched after it"
    told = [str(field) for field in records.fields if not field.is_shaped]
    must += f", or image_size given: {told}"
    check(records.alike or not batch_size, "load", "batch_size", must, batch_size)
    batches = _Batches(records.count, batch_size, place, workers, drop_remainder)
    must = f"below the number of steps, {batches.steps}"
    check(step < batches.steps, "load", "step", must, step)
    if shuffle and seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0] >> 1)
    kept = records.cache(cache)
    if explain:
        print(_explained(records, batches, kept, shuffle), file=sys.stderr)

    def read(number, first, last, batch):
        index = tf.range(first, last) * workers + place
        if shuffle:
            key = tf.stack([tf.constant(seed, "int64"), number])
            most = tf.constant(records.count - 1, "int64")
            index = tf.random.experimental.index_shuffle(index, key, most)
        many = last - first
        leading = [many // batch, batch] if batch_size else [many]
        if not records.alike:
            return records.payloads(index)
        arrays = records.fetch(index, kept)
        rows = [batches.whole] if batch_size else []
        shaped = []
        for array, field in zip(arrays, records.fields):
            array = tf.reshape(array, tf.concat([leading, tf.shape(array)[1:]], 0))
            shaped.append(tf.ensure_shape(array, (None, *rows, *field.shape)))
        return records.pack(shaped, as_supervised)

    def give(*chunk):
        return tf.data.Dataset.from_tensor_slices(chunk if len(chunk) > 1 else chunk[0])

    def one_by_one(payload):
        return records.pack(records.parse(payload), as_supervised)

    passes = _passes.numbers(epoch)

    def one_pass(begin):
        chunks = tf.data.Dataset.from_tensor_slices(batches.chunks(begin, records.nbytes))
        dataset = tf.data.Dataset.zip(passes, chunks)
        dataset = dataset.map(lambda n, chunk: read(n, *chunk), tf.data.AUTOTUNE)
        dataset = dataset.flat_map(give)  # `unbatch` dies of arrays without elements.
        return dataset if records.alike else dataset.map(one_by_one, tf.data.AUTOTUNE)

    dataset, more = one_pass(step), None if repeat is None else repeat - 1
    if step and more != 0:
        dataset = dataset.concatenate(one_pass(0).repeat(more))
    elif more != 0:
        dataset = dataset.repeat(repeat)
    length = -1 if repeat is None else batches.steps * repeat - step
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(length))
    if shard:  # Or TensorFlow would give each worker a part of its part.
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.OFF
        )
        dataset = dataset.with_options(options)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _pair(name, value, at_least):
    """Returns two integers, or `None`; refuses all else."""
    if value is None:
        return None
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    check(pair, "load", name, "a pair of integers", value)
    return tuple(integer("load", name, one, at_least=at_least) for one in value)


class _Batches:
    """Which of the records that come in some order go into which batch of a worker.

    Worker `i` of `n` has those at places `i`, `i + n` and so on. All have as many steps:
    where one is a record short of the last, its last full batch gives one away.
    """

    def __init__(self, count, size, place, workers, drop_remainder):
        own, most, least = (
            (count - p + workers - 1) // workers for p in (place, 0, workers - 1)
        )
        self.size = size = size or 1
        must = f"at most the number of records, {count}, with drop_remainder"
        steps = least // size if drop_remainder else -(-most // size)
        check(steps, "load", "batch_size", must, size)
        must = f"of at most as many workers as there are records, {count}"
        check(least, "load", "shard", must, (place, workers))
        if drop_remainder:
            own = steps * size
        self.ends = np.minimum(np.arange(1, steps + 1) * size, own)
        if -(-own // size) < steps:
            must = "above 1, or drop_remainder given, where workers differ by a record"
            check(size > 1, "load", "batch_size", must, size)
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


class _Records:
    """All records of one split, mapped into memory; any of them in any order."""

    def __init__(self, directory, split, skip, image_size):
        self.metadata = metadata.read(directory)
        written = "a folder that convert wrote (there is no metadata.json in it)"
        check(self.metadata, "load", "directory", written, str(directory))
        splits = self.metadata.splits
        must = f"one of {sorted(splits)}, which {directory} has; was convert broken off?"
        check(split in list(splits), "load", "split", must, split)
        self.layout, shards = self.metadata.layout, splits[split].shards
        self.image_size, self.stored = image_size, self.metadata.read_as
        self.fields = tuple(self._sized(field) for field in self.stored)
        self.alike = all(field.is_shaped for field in self.fields)
        self.files = [File(directory, shard, self.layout, skip) for shard in shards]
        self.ends = np.cumsum([file.count for file in self.files])
        self.count = int(self.ends[-1])
        lost = sum(shard.records for shard in shards) - self.count
        must = "of records, of which some are sound"
        check(self.count, "load", "directory", must, str(directory))
        self.nbytes = splits[split].bytes / self.count
        if self.alike:
            self.nbytes = max(self.nbytes, nbytes(1, *self.kinds))
        if lost:
            told = f"{lost} damaged of {self.count + lost} records of `{split}` in "
            told += f"{directory} are left out; verify names them"
            warnings.warn(told, stacklevel=3)

    @property
    def kinds(self):
        """Shapes and dtypes of the fields as NumPy has them."""
        dtypes = [object if f.dtype == "string" else f.dtype for f in self.fields]
        return [field.shape for field in self.fields], dtypes

    def cache(self, cache):
        """Returns the `Cache` of decoded records, or `None` where there is none."""
        decodes = any(field.encoding == "image" for field in self.fields)
        must = "False or 'auto' where records differ in shape"
        check(self.alike or cache is not True, "load", "cache", must, cache)
        size = nbytes(self.count, *self.kinds) if self.alike and not self.layout else 0
        use = cache is True or (cache == "auto" and decodes and fits(size))
        return Cache(self.count, *self.kinds) if size and use else None

    def fetch(self, index, kept):
        """Returns the fields of the records numbered in `index`, as tensors."""
        import tensorflow as tf

        dtypes = [tf.as_dtype(field.dtype) for field in self.fields]
        if self.layout:
            return tf.numpy_function(self._sliced, [index], dtypes)
        if kept is None:
            return parse.several(*self._of_payloads(index))

        def get():
            return self._shaped(tf.numpy_function(kept.get, [index], dtypes))

        def put():
            arrays = self._shaped(parse.several(*self._of_payloads(index)))
            done = tf.numpy_function(kept.put, [index, *arrays], tf.bool)
            with tf.control_dependencies([done]):
                return [tf.identity(array) for array in arrays]

        return tf.cond(tf.numpy_function(kept.has, [index], tf.bool), get, put)

    def payloads(self, index):
        """Returns what the records numbered in `index` hold, as a tensor of bytes."""
        import tensorflow as tf

        found = tf.numpy_function(self._bytes, [index], tf.string)
        return tf.ensure_shape(found, (None,))

    def parse(self, payload):
        return parse.one(payload, self.stored, self.image_size)

    def pack(self, arrays, as_supervised):
        named = {field.name: array for field, array in zip(self.fields, arrays)}
        return pack(named, self.metadata.supervised if as_supervised else None)

    def _sized(self, field):
        if field.encoding != "image" or not self.image_size:
            return field
        return dataclasses.replace(field, shape=(*self.image_size, field.shape[2]))

    def _of_payloads(self, index):
        return self.payloads(index), self.stored, self.image_size

    def _shaped(self, arrays):
        import tensorflow as tf

        shapes = [(None, *field.shape) for field in self.fields]
        return [tf.ensure_shape(*pair) for pair in zip(arrays, shapes)]

    def _sliced(self, index):
        rows = np.empty((len(index), self.layout.stride), "uint8")
        for here, file, numbers in self._places(index):
            rows[here] = file.read(numbers)
        records = rows.view(self.layout.dtype)[:, 0]
        return [self.layout.decode(records, n) for n in range(len(self.layout.fields))]

    def _bytes(self, index):
        found = np.empty(len(index), object)
        for here, file, numbers in self._places(index):
            found[here] = file.payloads(numbers)
        return found

    def _places(self, index):
        """Yields which of these are in each file, the file, and their numbers in it."""
        files = np.searchsorted(self.ends, index, side="right")
        for number in np.unique(files):
            here, file = files == number, self.files[number]
            yield here, file, index[here] - (self.ends[number] - file.count)


def _explained(records, batches, kept, shuffle):
    """Returns, in words, how the records are read, and why."""
    way = "parsed and decoded one by one, as they differ in shape"
    if records.alike:
        way = f"parsed and decoded in batches, as they are of {records.nbytes:,.0f} bytes"
        way += " and more than one length"
    if records.layout:
        way = f"sliced, as each is {records.layout.stride} bytes long"
    lines = [f"{records.count:,} records: {way}"]
    many = metadata.many(batches.steps, "step")
    order = "shuffled as a whole, without a buffer" if shuffle else "in order"
    lines.append(f"{batches.own:,} of them in {many} a pass, {order}")
    size = nbytes(records.count, *records.kinds) if records.alike else 0
    if kept:
        lines.append(f"decoded, they are kept in memory: {size / 1e6:,.0f} MB")
    elif not records.layout:
        told = f": they are {size / 1e6:,.0f} MB" if size else ": they differ in shape"
        lines.append(f"decoded anew in each pass{told}")
    return "\n".join(lines)

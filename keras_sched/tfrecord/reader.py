"""Records as a `tf.data.Dataset`: which, in which order, and in which batches."""

import sys
from typing import TYPE_CHECKING, Literal

import numpy as np

from keras_sched import _passes
from keras_sched._checks import check, integer, one_of
from keras_sched._types import OnError, PathLike
from keras_sched.tfrecord import metadata
from keras_sched.tfrecord.batches import Batches
from keras_sched.tfrecord.cache import nbytes
from keras_sched.tfrecord.stored import Records
from keras_sched.tfrecord.words import many

if TYPE_CHECKING:
    import tensorflow as tf


def load(
    directory: PathLike,
    split: str = "train",
    *,
    batch_size: int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    epoch: int = 0,
    step: int = 0,
    repeat: int | None = 1,
    shard: tuple[int, int] | list[int] | None = None,
    cache: bool | Literal["auto"] = "auto",
    image_size: tuple[int, int] | list[int] | None = None,
    drop_remainder: bool = False,
    as_supervised: bool = True,
    on_corrupt: OnError = "raise",
    explain: bool = False,
) -> "tf.data.Dataset":
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
        epoch: Number of the first pass over the dataset; the next has the next. (Under a
            strategy of `tf.distribute`, Keras's `fit` goes through one before it trains.)
        step: Number of the batch that the first pass begins with: of several by `repeat`,
            or of this one each time. In `fit` it goes with `repeat=None`, and
            `steps_per_epoch` given.
        repeat: How many passes the dataset is. `None`: without end.
        shard: Pair `(index, count)`: which of so many workers this is. Each has other
            records, all together all of them, and in as many steps: step by step what one
            would have alone, with batches of all together. The dataset is to be gone
            through as it is: `experimental_distribute_dataset` would cut its batches.
        cache: Whether to keep decoded records in memory. "auto": where images are decoded
            to one size, and all take at most half of the memory that is free. Records
            that are sliced need none.
        image_size: Pair `(height, width)` to which image files are resized. `None`: as
            they are; then they have to be of one size, to be batched.
        drop_remainder: Whether to leave out the last batch, if it is not full; of single
            records, what not every worker has.
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

    skip = one_of("load", "on_corrupt", on_corrupt, OnError) == "skip"
    one_of("load", "cache", cache, ("auto", True, False))
    optional = ("batch_size", batch_size, 1), ("seed", seed, 0), ("repeat", repeat, 1)
    for name, value, least in optional:
        if value is not None:
            integer("load", name, value, at_least=least)
    integer("load", "epoch", epoch)
    integer("load", "step", step)
    must = "False where there are neither batches nor workers"
    useful = batch_size or shard or not drop_remainder
    check(useful, "load", "drop_remainder", must, True)
    image_size = _pair("image_size", image_size, 1)
    place, workers = _pair("shard", shard, 0) or (0, 1)
    must = "a pair (index, count) with an index below the count"
    check(place < workers, "load", "shard", must, shard)
    records = Records(metadata.folder(directory), split, skip, image_size)
    pictures = any(field.encoding == "image" for field in records.fields)
    must = "None where there are no image files"
    check(pictures or not image_size, "load", "image_size", must, image_size)
    must = "None where records differ in shape, to be mapped to one and batched after it"
    told = [str(field) for field in records.fields if not field.is_shaped]
    must += f", or image_size given: {told}"
    check(records.alike or not batch_size, "load", "batch_size", must, batch_size)
    batches = Batches(records.count, batch_size, place, workers, drop_remainder)
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
            index = _shuffled(index, records.count, seed, number)
        many = last - first
        leading = [many // batch, batch] if batch_size else [many]
        if not records.alike:
            return records.payloads(index), index
        arrays = records.fetch(index, kept)
        rows = [batches.whole] if batch_size else []
        shaped = []
        for array, field in zip(arrays, records.fields):
            array = tf.reshape(array, tf.concat([leading, tf.shape(array)[1:]], 0))
            shaped.append(tf.ensure_shape(array, (None, *rows, *field.shape)))
        return records.pack(shaped, as_supervised)

    def one_by_one(payload, number):
        return records.pack(records.parse(payload, number), as_supervised)

    passes = _passes.numbers(epoch)

    def one_pass(begin):
        chunks = tf.data.Dataset.from_tensor_slices(batches.chunks(begin, records.nbytes))
        dataset = tf.data.Dataset.zip(passes, chunks)
        dataset = dataset.map(lambda n, chunk: read(n, *chunk), tf.data.AUTOTUNE)
        several = isinstance(dataset.element_spec, tuple)

        def give(*chunk):  # `unbatch` dies of arrays without elements.
            return tf.data.Dataset.from_tensor_slices(chunk if several else chunk[0])

        dataset = dataset.flat_map(give)
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


def _shuffled(index, count, seed, number):
    """Returns where the records of such indices stand in pass `number` by `seed`.

    TensorFlow's cipher takes some bits of each of three words as its key: where there are
    few records 8 of them, and `index_shuffle` itself leaves one word 0. So all three are
    drawn, or a pass would be like another after 256.
    """
    import tensorflow as tf

    words = {"minval": None, "maxval": None, "dtype": tf.int64, "alg": "philox"}
    key = tf.stack([tf.constant(seed, tf.int64), number])
    key = tf.random.stateless_uniform([3], key, **words)
    last = tf.constant(count - 1, tf.int64)
    return tf.raw_ops.RandomIndexShuffle(index=index, seed=key, max_index=last)


def _explained(records, batches, kept, shuffle):
    """Returns, in words, how the records are read, and why."""
    way = "parsed and decoded one by one, as they differ in shape"
    if records.alike:
        way = "parsed and decoded in batches, as they differ in length"
    if records.layout:
        way = f"sliced, as each is {records.layout.stride} bytes long"
    lines = [f"{many(records.count, 'record')}: {way}"]
    steps = many(batches.steps, "step")
    order = "shuffled as a whole, without a buffer" if shuffle else "in order"
    lines.append(f"{batches.own:,} of them in {steps} a pass, {order}")
    size = nbytes(records.count, *records.kinds) if records.alike else 0
    if kept:
        lines.append(f"decoded, they are kept in memory: {size / 1e6:,.0f} MB")
    elif not records.layout:
        told = f": they are {size / 1e6:,.0f} MB" if size else ": they differ in shape"
        lines.append(f"decoded anew in each pass{told}")
    return "\n".join(lines)

"""The records of a split, from their files into tensors."""

import dataclasses
import warnings

import numpy as np

from keras_sched._checks import check
from keras_sched.tfrecord import metadata, parse
from keras_sched.tfrecord.cache import Cache, fits, nbytes
from keras_sched.tfrecord.files import File
from keras_sched.tfrecord.structure import pack
from keras_sched.tfrecord.words import many


class Records:
    """All records of one split, mapped into memory; any of them in any order."""

    def __init__(self, directory, split, skip, image_size):
        self.metadata = metadata.read(directory)
        written = "a folder that convert wrote, or that inspect has adopted"
        check(self.metadata, "load", "directory", written, str(directory))
        splits = self.metadata.splits
        begun = {name: str(begun) for name, begun in self.metadata.begun.items()}
        must = f"one of {sorted(splits)}, which {directory} has"
        must += f" ({begun}: convert again)" * bool(begun)
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
        surplus = sum(file.surplus for file in self.files)
        left_out = [f"{lost} damaged of {many(self.count + lost, 'record')}"] * bool(lost)
        left_out += [f"{many(surplus, 'record')} too many"] * bool(surplus)
        if left_out:
            told = f"{' and '.join(left_out)} of `{split}` in {directory} are left out; "
            warnings.warn(f"{told}verify names them", stacklevel=3)

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
            return self._several(index)

        def get():
            return self._shaped(tf.numpy_function(kept.get, [index], dtypes))

        def put():
            arrays = self._shaped(self._several(index))
            done = tf.numpy_function(kept.put, [index, *arrays], tf.bool)
            with tf.control_dependencies([done]):
                return [tf.identity(array) for array in arrays]

        return tf.cond(tf.numpy_function(kept.has, [index], tf.bool), get, put)

    def payloads(self, index):
        """Returns what the records numbered in `index` hold, as a tensor of bytes."""
        import tensorflow as tf

        found = tf.numpy_function(self._bytes, [index], tf.string)
        return tf.ensure_shape(found, (None,))

    def parse(self, payload, number):
        """Returns the fields of one record, given what it holds and its number."""
        failed = self._failed([number], [payload])
        return parse.one(payload, self.stored, self.image_size, failed)

    def pack(self, arrays, as_supervised):
        named = {field.name: array for field, array in zip(self.fields, arrays)}
        return pack(named, self.metadata.supervised if as_supervised else None)

    def _sized(self, field):
        if field.encoding != "image" or not self.image_size:
            return field
        return dataclasses.replace(field, shape=(*self.image_size, field.shape[2]))

    def _several(self, index):
        payloads = self.payloads(index)
        failed = self._failed(index, payloads)
        return parse.several(payloads, self.stored, self.image_size, failed)

    def _failed(self, index, payloads):
        """Returns a function that says, in a graph, which record cannot be decoded."""
        import tensorflow as tf

        return lambda: tf.numpy_function(self._refuse, [index, payloads], tf.bool)

    def _refuse(self, index, payloads):
        for number, payload in zip(index, payloads):
            if what := self._flaw(payload):
                ((_, file, (record,)),) = self._places(np.array([number]))
                file.refuse(record, f"cannot be decoded: {what}")
        raise ValueError("images could not be decoded, though each of them can")

    def _flaw(self, payload):
        """Returns why a record cannot be decoded, or `None`."""
        import tensorflow as tf

        try:
            parse.one(tf.constant(payload), self.stored, self.image_size)
        except tf.errors.OpError as error:
            return parse.telling(error)
        return None

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

"""Records written, read and verified, beside what one would write by hand, and TFDS.

20,000 images of 32 x 32 x 3 and their labels, a table of 20 columns, and a folder of
JPEGs of 224 x 224. Each beside its peers, by turns, every byte of ours flushed to the
disk; array_record is one where it is installed. Prints the median of how many times as
fast ours is and where that lies with a confidence of 95 %; exits with 1 where all of it
is short of a budget of DESIGN.

    python benchmarks/records.py
"""

import contextlib
import io
import itertools
import os
import pathlib
import shutil
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from timing import arguments, compare, interval

from keras_sched import tfrecord

tfds.disable_progress_bar()
COUNT, ROWS, COLUMNS, BATCH, PHOTOGRAPHS = 20_000, 100_000, 20, 256, 1024
CHANCE = np.random.default_rng(0)
NAMES = [f"column_{number:02d}" for number in range(COLUMNS)]
BUDGETS = {
    ("write", "a naive writer"): 3,
    ("write", "TFDS, Tensor of bytes"): 12,
    ("read", "PNG, parsed one by one"): 8,
    ("read a table", "20 features, parsed one by one"): 30,
    ("verify", "TensorFlow's reader"): 1,
}


def images():
    """Returns images that compress as photographs do, more or less, and labels."""
    coarse = CHANCE.integers(0, 255, (COUNT, 8, 8, 3))
    fine = CHANCE.integers(0, 12, (COUNT, 32, 32, 3))
    pixels = coarse.repeat(4, 1).repeat(4, 2) * 0.95 + fine
    return pixels.astype("uint8"), CHANCE.integers(0, 10, COUNT)


def a_bytes(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def an_integer(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def a_float(value):
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def write_naively(path, rows):
    """Writes dicts of features as everybody's first converter does."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            example = tf.train.Example(features=tf.train.Features(feature=row))
            writer.write(example.SerializeToString())


def rows_of(x, y, encode):
    for image, label in zip(x, y):
        yield {"image": a_bytes(encode(image)), "label": an_integer(int(label))}


def png(image):
    return tf.io.encode_png(image).numpy()


def table(rows):
    for row in rows.tolist():
        yield {name: a_float(value) for name, value in zip(NAMES, row)}


def write_by_tfds(folder, x, y):
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Tensor(
                shape=(32, 32, 3), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
            ),
            "label": np.int64,
        }
    )
    data = tf.data.Dataset.from_tensor_slices({"image": x, "label": y})
    with contextlib.redirect_stdout(io.StringIO()):  # It tells of downloads.
        tfds.dataset_builders.store_as_tfds_dataset(
            name="peer",
            version="1.0.0",
            data_dir=folder,
            features=features,
            split_datasets={"train": data},
            disable_shuffling=True,
        )


def parsed(path, spec, then):
    data = tf.data.TFRecordDataset(str(path))
    return data.map(lambda record: then(tf.io.parse_single_example(record, spec)))


def png_reader(path):
    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def decode(row):
        return tf.io.decode_png(row["image"], 3), row["label"]

    return parsed(path, spec, decode).batch(BATCH)


def table_reader(path):
    spec = {name: tf.io.FixedLenFeature([], tf.float32) for name in NAMES}
    return parsed(path, spec, lambda row: [row[name] for name in NAMES]).batch(BATCH)


def photographs(folder):
    """Writes JPEGs of 224 x 224, in a folder for each of ten classes."""
    for number in range(PHOTOGRAPHS):
        coarse = CHANCE.integers(0, 255, (28, 28, 3), "uint8")
        image = tf.image.resize(coarse, (224, 224), "bicubic")
        content = tf.io.encode_jpeg(tf.saturate_cast(image, tf.uint8), quality=90)
        (folder / f"class_{number % 10}").mkdir(parents=True, exist_ok=True)
        path = folder / f"class_{number % 10}" / f"{number}.jpg"
        tf.io.write_file(str(path), content)


def files_of(folder):
    for path in sorted(folder.rglob("*.jpg")):
        yield path, int(path.parent.name.removeprefix("class_"))


def write_decoded(path, folder):
    """Writes images as the tutorials do: decoded, and encoded again."""

    def rows():
        for file, label in files_of(folder):
            image = tf.io.decode_jpeg(tf.io.read_file(str(file)))
            content = tf.io.encode_jpeg(image, quality=95).numpy()
            yield {"image": a_bytes(content), "label": an_integer(label)}

    write_naively(path, rows())


def write_undecoded(path, folder):
    write_naively(
        path,
        (
            {"image": a_bytes(file.read_bytes()), "label": an_integer(label)}
            for file, label in files_of(folder)
        ),
    )


def jpeg_reader(path):
    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def decode(record):
        row = tf.io.parse_single_example(record, spec)
        image = tf.ensure_shape(tf.io.decode_jpeg(row["image"], 3), (224, 224, 3))
        return image, row["label"]

    data = tf.data.TFRecordDataset(str(path)).map(decode, tf.data.AUTOTUNE)
    return data.batch(64).prefetch(tf.data.AUTOTUNE)


def array_record_pairs(folder, x, y, ours, data):
    """Yields the comparisons with array_record, if it is there."""
    try:
        from array_record.python import array_record_module
    except ImportError:
        return
    path = str(folder / "peer.array_record")

    def write():
        writer = array_record_module.ArrayRecordWriter(path, "group_size:1,uncompressed")
        for row in rows_of(x, y, np.ndarray.tobytes):
            example = tf.train.Example(features=tf.train.Features(feature=row))
            writer.write(example.SerializeToString())
        writer.close()

    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def read():
        reader = array_record_module.ArrayRecordReader(path)
        order = np.random.default_rng(0).permutation(COUNT).tolist()
        for first in range(0, COUNT, BATCH):
            row = tf.io.parse_example(reader.read(order[first : first + BATCH]), spec)
            tf.reshape(tf.io.decode_raw(row["image"], "uint8"), (-1, 32, 32, 3))
        reader.close()

    yield "write", "array_record", COUNT, ours, write
    write()
    yield "read", "array_record, shuffled", COUNT, through(data), read


def through(dataset):
    """Returns a function that goes through all batches, and says how many."""
    return lambda: sum(1 for _ in dataset)


def fitted(dataset, many):
    """Returns a function that trains a small model on so many of the batches."""
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.AveragePooling2D(8), layers.Flatten()]
    )
    model.add(layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    return lambda: model.fit(dataset.take(many), verbose=0, shuffle=False)


def pairs(folder):
    """Yields what is done, beside what, how many records, and both functions."""
    x, y = images()
    rows = CHANCE.normal(size=(ROWS, COLUMNS)).astype("float32")

    def ours():
        tfrecord.convert((x, y), folder / "ours", overwrite=True, progress=False)

    yield (
        "write",
        "a naive writer",
        COUNT,
        ours,
        lambda: write_naively(
            folder / "naive.tfrecord", rows_of(x, y, np.ndarray.tobytes)
        ),
    )
    yield (
        "write",
        "TFDS, Tensor of bytes",
        COUNT,
        ours,
        lambda: (
            shutil.rmtree(folder / "tfds", ignore_errors=True),
            write_by_tfds(folder / "tfds", x, y),
        ),
    )
    ours()
    write_naively(folder / "png.tfrecord", rows_of(x, y, png))
    data = tfrecord.load(folder / "ours", batch_size=BATCH, shuffle=True, seed=0)
    peer = png_reader(folder / "png.tfrecord")
    yield "read", "PNG, parsed one by one", COUNT, through(data), through(peer)
    yield from array_record_pairs(folder, x, y, ours, data)
    many = len(data)
    yield "fit", "PNG, parsed one by one", COUNT, fitted(data, many), fitted(peer, many)
    tfrecord.convert({"columns": rows}, folder / "table", progress=False)
    write_naively(folder / "table.tfrecord", table(rows))
    data = tfrecord.load(folder / "table", batch_size=BATCH, shuffle=True, seed=0)
    peer = table_reader(folder / "table.tfrecord")
    other = "20 features, parsed one by one"
    yield "read a table", other, ROWS, through(data), through(peer)
    (file,) = (folder / "ours").glob("*.tfrecord*")
    reader = tf.data.TFRecordDataset(str(file), buffer_size=2**23).batch(1024)
    yield (
        "verify",
        "TensorFlow's reader",
        COUNT,
        lambda: tfrecord.verify(folder / "ours"),
        through(reader),
    )


def photograph_pairs(folder):
    """Yields the comparisons on JPEGs of 224 x 224."""
    photographs(folder / "photographs")
    where = folder / "photographs", folder / "records_224"
    other = folder / "decoded.tfrecord"

    def ours():
        tfrecord.convert(*where, overwrite=True, progress=False)

    def peer(write):
        return lambda: write(other, where[0])

    for name, write in (
        ("a naive writer", write_undecoded),
        ("decoded and encoded again", write_decoded),
    ):
        yield "write 224", name, PHOTOGRAPHS, ours, peer(write)
    ours()
    how = dict(batch_size=64, shuffle=True, seed=0)
    for what, cache in ("read 224", False), ("read 224, kept", "auto"):
        data = tfrecord.load(where[1], cache=cache, **how)
        name = "JPEG, parsed one by one"
        yield what, name, PHOTOGRAPHS, through(data), through(jpeg_reader(other))


def main():
    parser = arguments(__doc__, rounds=15)
    parser.add_argument("--only", default="", help="measure what has this in its name")
    given, short = parser.parse_args(), []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for what, other, count, one, two in itertools.chain(
            pairs(folder), photograph_pairs(folder)
        ):
            if given.only not in f"{what} {other}":
                continue
            rounds = given.rounds if "TFDS" not in other else min(given.rounds, 6)
            ratios, (first, second) = compare(one, two, rounds)
            low, middle, high = interval(1 / ratios)
            budget = BUDGETS.get((what, other))
            limit = f", budget {budget}" if budget else ""
            print(
                f"{what:12} {count / first:11,.0f} and {count / second:9,.0f} records/s, "
                f"{middle:.1f} times as fast ({low:.1f} to {high:.1f}){limit}; {other}",
                flush=True,
            )
            if budget and high * given.slack < budget:
                short.append(f"{what} beside {other}")
    sys.exit(f"short of the budget: {', '.join(short)}" if short else 0)


if __name__ == "__main__":
    main()

"""Conversion on a runner of Apache Beam: an element is a file.

This module needs the package apache-beam, and is imported by name alone.
"""

import pickle
from collections.abc import Sequence
from typing import Any

from keras_sched._checks import check
from keras_sched._types import ImageFormat, OnError, PathLike
from keras_sched.tfrecord import metadata, sources
from keras_sched.tfrecord.convert import publish
from keras_sched.tfrecord.plan import How, alone, begin, planned
from keras_sched.tfrecord.writer import write_shard

try:
    import apache_beam as beam
except ImportError as error:
    told = 'keras_sched.tfrecord.beam needs apache-beam: pip install "keras_sched[beam]"'
    raise ImportError(told) from error

_LOCAL = ("direct", "directrunner", "fnapirunner")
_REACHED = "a folder that all workers reach under the same path: files are not there"
_MOST = 2**28  # Beam compresses what travels, 10 MB in a second.
_RECORDS = beam.metrics.Metrics.counter("keras_sched", "records")
_BYTES = beam.metrics.Metrics.counter("keras_sched", "bytes")


class ConvertToTFRecord(beam.PTransform):
    """Writes a dataset as `convert` does, byte by byte, on any runner of Beam.

    It is applied to a pipeline, and gives the `Split` of each split, which is listed when
    all its files are written. A runner may write any file more than once. All workers
    must reach the folder, and the files that are read, under the same paths; the folder
    is made when the pipeline is built. Arrays travel with the pipeline, 256 MB at most,
    and some runners take fewer. What a failed pipeline has written is written again.

    Args:
        source: As `convert` has it, if any of its rows can be had on their own: arrays,
            folders of images, CSV files, a `datasets.Dataset`.
        directory: As `convert` has it. No two conversions may write into it at once; one
            of several splits may.
        name: As `convert` has it, and so all that follow.
        split: Name of the split.
        shards: Number of files.
        shard_bytes: About how long a file may be, in bytes.
        image_format: How images are stored.
        on_error: What is done with rows that cannot be written.
        overwrite: Whether a split of this name may be replaced.
        index: Whether to write where the records begin.

    Raises:
        ValueError: As `convert` does, where the transform is made; for a row that cannot
            be written, where the pipeline runs.

    >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    >>> with beam.Pipeline(FnApiRunner()) as pipeline:
    ...     splits = pipeline | ConvertToTFRecord({"x": np.arange(6.0)}, directory)
    >>> tfrecord.load(directory, batch_size=6).cardinality().numpy()
    np.int64(1)
    """

    def __init__(
        self,
        source: Any,
        directory: PathLike,
        *,
        name: str | None = None,
        split: str | None = None,
        shards: int | None = None,
        shard_bytes: int = 128 * 2**20,
        image_format: ImageFormat = "keep",
        on_error: OnError = "raise",
        overwrite: bool = False,
        index: bool = False,
    ):
        super().__init__()
        how = How(shards, shard_bytes, image_format, 1, on_error, False, index, False)
        must = "a folder that all workers reach under the same path, no address"
        check("://" not in str(directory), self, "directory", must, str(directory))
        self.directory, self.index = metadata.folder(directory), index
        plans, self.new = planned(source, self.directory, name, split, overwrite, how)
        self.splits, self.tasks, size = list(plans), [], 0
        self.files = {split: plan.files for split, plan in plans.items()}
        for plan in plans.values():
            for task in self._packed(plan):
                size += len(task)
                must = f"files, or at most {_MOST:,} bytes in memory (convert takes more)"
                check(size <= _MOST, self, "source", must, size)
                self.tasks.append(task)

    def expand(self, pipeline):
        self.directory.mkdir(parents=True, exist_ok=True)
        begun = (
            pipeline
            | beam.Impulse()
            | "Begin" >> beam.Map(_begin, self.new, self.directory, self.files)
        )
        return (
            pipeline
            | beam.Create(self.tasks)
            | beam.Reshuffle()
            | "WriteShard" >> beam.Map(_write, beam.pvalue.AsSingleton(begun))
            | beam.combiners.ToList()
            | "Publish" >> beam.FlatMap(_publish, self.directory, self.splits, self.index)
        )

    def _packed(self, plan):
        """Yields the pickled tasks of one split."""
        rows = isinstance(plan.source, sources.Rows)
        must = "one of which any rows can be had on their own: these come one by one"
        check(rows, self, "source", must, type(plan.source).__name__)
        must = "given for rows whose size is not known"
        check(plan.files, self, "shards", must, None)
        for number, part in enumerate(plan.parts()):
            place = self.new.name, plan.split, number, plan.files
            path = self.directory / metadata.file_name(*place)
            task = plan.task(path, part, resumable=False)
            yield pickle.dumps((plan.split, number, task))


def run(
    source: Any,
    directory: PathLike,
    *,
    runner: Any = None,
    options: Sequence[str] = (),
    **how: Any,
) -> Any:
    """Converts by a pipeline of its own, and waits for it.

    Args:
        source: As `ConvertToTFRecord` has it.
        directory: As `ConvertToTFRecord` has it.
        runner: Name of one of Beam's runners, as "FlinkRunner", or a runner. `None`,
            "direct" or "FnApiRunner": this process.
        options: Beam's options, as on a command line: `["--flink_master=..."]`.
        how: As `ConvertToTFRecord` has it.

    Returns:
        What `convert` returns.

    Raises:
        ValueError: As `ConvertToTFRecord` does, or for a runner Beam does not know.

    >>> from keras_sched.tfrecord import beam
    >>> print(beam.run({"x": np.arange(6.0)}, directory, shards=2))
    train: 6 records, 222 bytes in 2 files
    """
    transform = ConvertToTFRecord(source, directory, **how)
    settings = beam.options.pipeline_options.PipelineOptions(list(options))
    pipeline = beam.Pipeline(_runner(runner), settings)
    with alone(transform.directory):
        pipeline | transform
        pipeline.run().wait_until_finish()
    there = _reached(transform.directory).splits
    reached = set(transform.splits) <= set(there)
    check(reached, "ConvertToTFRecord", "directory", _REACHED, str(transform.directory))
    done = {split: there[split] for split in transform.splits}
    return done if len(done) > 1 else done.popitem()[1]


def _runner(runner):
    """Returns a runner; for Beam's default one that downloads none of its programs."""
    if runner is None or str(runner).lower() in _LOCAL:
        from apache_beam.runners.portability import fn_api_runner

        return fn_api_runner.FnApiRunner()
    return runner


def _begin(_, new, directory, files):
    """Claims the folder as it is now, not as it was when the pipeline was built."""
    begin(directory, new, files, overwrite=True, resume=False)


def _write(packed, _):
    split, number, task = pickle.loads(packed)
    return split, number, write_shard(task, _count)


def _count(records, size):
    _RECORDS.inc(records)
    _BYTES.inc(size)


def _publish(found, directory, splits, indexed):
    found = sorted(found, key=lambda one: one[:2])
    held = _reached(directory, [one.shard for _, _, one in found])
    written = {split: [one for n, _, one in found if n == split] for split in splits}
    yield from publish(directory, held, written, indexed).values()


def _reached(directory, shards=()):
    """Returns the `Metadata` of a folder, in which all that was written must be."""
    held = metadata.read(directory)
    paths = [directory / shard.file for shard in shards]
    there = held and all(path.is_file() for path in paths)
    check(there, "ConvertToTFRecord", "directory", _REACHED, str(directory))
    return held

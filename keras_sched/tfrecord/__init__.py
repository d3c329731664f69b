"""Records: datasets as TFRecord files, written whole and read fast."""

from keras_sched.tfrecord.convert import convert
from keras_sched.tfrecord.metadata import Shard, Split
from keras_sched.tfrecord.reader import load

__all__ = ["Shard", "Split", "convert", "load"]

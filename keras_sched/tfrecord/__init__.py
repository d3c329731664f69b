"""Records: datasets as TFRecord files, written whole and read fast."""

from keras_sched.tfrecord.convert import convert
from keras_sched.tfrecord.inspect import Column, Inspection, inspect
from keras_sched.tfrecord.metadata import Shard, Split
from keras_sched.tfrecord.reader import load
from keras_sched.tfrecord.repair import Mended, Repair, repair
from keras_sched.tfrecord.verify import Damage, Verification, verify

__all__ = [
    "Column",
    "Damage",
    "Inspection",
    "Mended",
    "Repair",
    "Shard",
    "Split",
    "Verification",
    "convert",
    "inspect",
    "load",
    "repair",
    "verify",
]

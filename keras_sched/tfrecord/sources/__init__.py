"""What can be converted, as one thing: rows of fields, by split."""

from keras_sched.tfrecord.sources.base import Rows, Source
from keras_sched.tfrecord.sources.kinds import splits
from keras_sched.tfrecord.sources.stream import Stream

__all__ = ["Rows", "Source", "Stream", "splits"]

"""The training-recipe add-on for Keras 3: rates, images and records."""

import pathlib
import sys

__version__ = "0.1.0.dev0"

__all__ = [
    "LearningRateCurve",
    "callbacks",
    "find_learning_rate",
    "layers",
    "plot",
    "schedule_hyperparameters",
    "schedules",
    "tfrecord",
]


def _is_command():
    """Whether this is the start of `keras-sched`, or of `python -m keras_sched`."""
    program = "".join(sys.argv[:1])
    as_module = program == "-m" and "keras_sched" in sys.orig_argv
    return as_module or pathlib.PurePath(program).stem == "keras-sched"


if not _is_command():  # A command loads what it needs, and --help needs nothing.
    from keras_sched import callbacks, layers, plot, schedules, tfrecord
    from keras_sched.hyperparameters import schedule_hyperparameters
    from keras_sched.learning_rate_finder import LearningRateCurve, find_learning_rate

"""The training-recipe add-on for Keras 3: rates, images and records."""

import pathlib
import sys

__version__ = "0.1.0"

__all__ = [
    "Ensemble",
    "LearningRateCurve",
    "callbacks",
    "ensemble",
    "find_learning_rate",
    "layers",
    "plot",
    "schedule_hyperparameters",
    "schedules",
    "tfrecord",
]


def _is_command():
    """Whether this is the start of `keras-sched`, or of one of its modules by `-m`."""
    program = "".join(sys.argv[:1])
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1] if program == "-m" else ""
    as_module = module.partition(".")[0] == "keras_sched"
    return as_module or pathlib.PurePath(program).stem == "keras-sched"


if not _is_command():  # A command loads what it needs, and --help needs nothing.
    from keras_sched import callbacks, layers, plot, schedules, tfrecord
    from keras_sched.ensembling import Ensemble, ensemble
    from keras_sched.hyperparameters import schedule_hyperparameters
    from keras_sched.learning_rate_finder import LearningRateCurve, find_learning_rate

"""The training-recipe add-on for Keras 3: rates, images and records."""

from keras_sched import callbacks, layers, plot, schedules, tfrecord
from keras_sched.hyperparameters import schedule_hyperparameters
from keras_sched.learning_rate_finder import LearningRateCurve, find_learning_rate

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

"""Callbacks: what happens during `fit`."""

from keras_sched.callbacks.checkpoint_early_stopping import CheckpointEarlyStopping
from keras_sched.callbacks.gradient_noise import GradientNoise
from keras_sched.callbacks.hyperparameter_scheduler import HyperparameterScheduler
from keras_sched.callbacks.label_mixing import LabelMixing
from keras_sched.callbacks.learning_rate_finder import LearningRateFinder
from keras_sched.callbacks.one_cycle import OneCycle
from keras_sched.callbacks.plateau_scaling import PlateauScaling
from keras_sched.callbacks.snapshot_ensemble import SnapshotEnsemble
from keras_sched.callbacks.step_decay import StepDecay
from keras_sched.callbacks.time_based_decay import TimeBasedDecay
from keras_sched.callbacks.weight_averaging import WeightAveraging

__all__ = [
    "CheckpointEarlyStopping",
    "GradientNoise",
    "HyperparameterScheduler",
    "LabelMixing",
    "LearningRateFinder",
    "OneCycle",
    "PlateauScaling",
    "SnapshotEnsemble",
    "StepDecay",
    "TimeBasedDecay",
    "WeightAveraging",
]

"""Callbacks: what happens during `fit`."""

from keras_sched.callbacks.checkpoint_early_stopping import CheckpointEarlyStopping
from keras_sched.callbacks.hyperparameter_scheduler import HyperparameterScheduler
from keras_sched.callbacks.one_cycle import OneCycle
from keras_sched.callbacks.step_decay import StepDecay
from keras_sched.callbacks.time_based_decay import TimeBasedDecay

__all__ = [
    "CheckpointEarlyStopping",
    "HyperparameterScheduler",
    "OneCycle",
    "StepDecay",
    "TimeBasedDecay",
]

"""Callbacks: what happens during `fit`."""

from keras_sched.callbacks.checkpoint_early_stopping import CheckpointEarlyStopping
from keras_sched.callbacks.one_cycle import OneCycle

__all__ = ["CheckpointEarlyStopping", "OneCycle"]

"""Schedules: from the step about to be made to the value it is made with."""

from keras_sched.schedules.base import Schedule, values
from keras_sched.schedules.one_cycle import OneCycle
from keras_sched.schedules.one_cycle_momentum import OneCycleMomentum
from keras_sched.schedules.piecewise import Piecewise
from keras_sched.schedules.step_decay import StepDecay
from keras_sched.schedules.time_based_decay import TimeBasedDecay
from keras_sched.schedules.warmup import Warmup

__all__ = [
    "OneCycle",
    "OneCycleMomentum",
    "Piecewise",
    "Schedule",
    "StepDecay",
    "TimeBasedDecay",
    "Warmup",
    "values",
]

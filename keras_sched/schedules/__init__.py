"""Schedules: from the step about to be made to the value it is made with."""

from keras_sched.schedules.base import Schedule
from keras_sched.schedules.cosine_annealing import CosineAnnealing
from keras_sched.schedules.cosine_restarts import CosineRestarts
from keras_sched.schedules.evaluation import values
from keras_sched.schedules.inverse_sqrt_decay import InverseSqrtDecay
from keras_sched.schedules.join import Join
from keras_sched.schedules.lengths import in_epochs
from keras_sched.schedules.linear_decay import LinearDecay
from keras_sched.schedules.multi_step_decay import MultiStepDecay
from keras_sched.schedules.one_cycle import OneCycle
from keras_sched.schedules.one_cycle_momentum import OneCycleMomentum
from keras_sched.schedules.parse import parse
from keras_sched.schedules.piecewise import Piecewise
from keras_sched.schedules.scaled import Scaled, linear_scaling
from keras_sched.schedules.slowed import Slowed
from keras_sched.schedules.step_decay import StepDecay
from keras_sched.schedules.time_based_decay import TimeBasedDecay
from keras_sched.schedules.triangular import Triangular
from keras_sched.schedules.warmup import Warmup
from keras_sched.schedules.warmup_stable_decay import WarmupStableDecay

__all__ = [
    "CosineAnnealing",
    "CosineRestarts",
    "InverseSqrtDecay",
    "Join",
    "LinearDecay",
    "MultiStepDecay",
    "OneCycle",
    "OneCycleMomentum",
    "Piecewise",
    "Scaled",
    "Schedule",
    "Slowed",
    "StepDecay",
    "TimeBasedDecay",
    "Triangular",
    "Warmup",
    "WarmupStableDecay",
    "in_epochs",
    "linear_scaling",
    "parse",
    "values",
]

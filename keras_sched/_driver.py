"""Stands in for an optimizer's update. With `hyperparameters`, all that is known of them.

Keras reads `momentum`, `beta_1` and their like as Python floats, so the first trace
turns them into constants and setting them later changes nothing. Here, while an update
is traced (or, on torch, made), each scheduled attribute stands for the value that its
schedule has at the optimizer's own counter; before and after it is the float it was.
Configs, checkpoints and the number of variables therefore never see a schedule.
"""

import functools

import keras
from keras import ops

from keras_sched import _draws

ATTRIBUTES = ("momentum", "beta_1", "beta_2", "rho", "weight_decay")
_Schedule = keras.optimizers.schedules.LearningRateSchedule


def driver_of(optimizer):
    """Returns what drives an optimizer already, or `None`."""
    driver = vars(optimizer).get("apply")
    return driver if isinstance(driver, Driver) else None


def batches_seen(optimizer):
    """Returns how many batches the optimizer has been given, as an int."""
    return int(ops.convert_to_numpy(optimizer._iterations))


class Driver:
    """Stands in for one optimizer's `apply` and holds what it is to obey.

    Attributes:
        schedules: For each hyperparameter a function of the step.
        offsets: For each, what is added to the optimizer's counter to give the step.
        scales: Functions without arguments; the rate is multiplied by what they return.
        corrects: Whether the velocity follows the rate.
        seed: Seed of the gradient noise.
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.schedules, self.offsets, self.scales = {}, {}, []
        self.corrects, self.seed = False, 0
        self._now, self._held = {}, {}
        self._running = 0  # Replicas of one strategy are traced one inside another.
        self._apply, self._clip = optimizer.apply, optimizer._clip_gradients
        self._compiled_rate = optimizer._get_current_learning_rate
        self._call = self._apply_driven
        if keras.backend.backend() == "torch":
            import torch

            self._call = torch.compiler.disable(self._apply_driven)
        optimizer.apply, optimizer._clip_gradients = self, self._clip_and_add_noise
        optimizer._get_current_learning_rate = self._learning_rate

    def uninstall_if_idle(self):
        """Gives the optimizer back as it was, where nothing is driven any more."""
        here = vars(self.optimizer)
        if not self.schedules and not self.scales and here.get("apply") is self:
            del self.optimizer.apply, self.optimizer._clip_gradients
            del self.optimizer._get_current_learning_rate

    def last_used(self, name):
        """Returns the value of a hyperparameter in the last update there was."""
        if name == "learning_rate":
            return self._scaled(self._rate(back=1))
        return self._value(name, back=1)

    def __call__(self, grads, trainable_variables=None):
        return self._call(grads, trainable_variables)

    def _apply_driven(self, grads, trainable_variables):
        if not self._running:
            attributes = self.schedules.keys() & set(ATTRIBUTES)
            attributes |= {"momentum"} if self.corrects else set()
            self._held = {n: float(getattr(self.optimizer, n)) for n in attributes}
        self._running += 1
        try:
            self._now = {name: self._value(name) for name in self.schedules}
            if self.corrects:
                momentum = self._now.get("momentum", self._held["momentum"])
                self._now["momentum"] = momentum * self._rate_over_the_last()
            for name, value in self._held.items():
                now = _as_attribute(value, self._now[name])
                setattr(self.optimizer, name, now)
            return self._apply(grads, trainable_variables)
        finally:
            self._running -= 1
            if not self._running:
                self._restore()

    def _restore(self):
        self._now = {}
        for name, value in self._held.items():
            setattr(self.optimizer, name, value)

    def _rate_over_the_last(self):
        """Returns by how much the rate has grown since the update before this one."""
        rate = self._now["learning_rate"]
        back = self.optimizer.gradient_accumulation_steps or 1
        before = self._value("learning_rate", back)
        if isinstance(rate, float):
            return rate / before if before else 1.0
        return ops.where(before > 0, rate / before, 1.0)

    def _value(self, name, back=0):
        """Returns what a schedule says of this step, or of one so many steps back.

        What is further back than the optimizer's first step is taken for that.
        """
        step = self._step(back) + self.offsets[name]
        if isinstance(step, int):
            with keras.device("cpu"):
                return float(self.schedules[name](step))
        return self.schedules[name](step)

    def _step(self, back=0):
        """Returns the optimizer's counter, or less: a tensor, but an int on torch."""
        if keras.backend.backend() == "torch":
            return max(batches_seen(self.optimizer) - back, 0)
        step = ops.convert_to_tensor(self.optimizer._iterations)
        return ops.maximum(step - back, 0) if back else step

    def _learning_rate(self):
        return self._scaled(self._rate())

    def _rate(self, back=0):
        if "learning_rate" not in self.schedules:
            compiled = self.optimizer._learning_rate
            if back and isinstance(compiled, _Schedule):
                return compiled(self._step(back))
            return self._compiled_rate()
        if "learning_rate" in self._now:
            return self._now["learning_rate"]
        return self._value("learning_rate", back)

    def _scaled(self, rate):
        for scale in self.scales:
            rate = rate * scale()
        return rate

    def _clip_and_add_noise(self, grads):
        """Stands in for the clipping, which comes last before the update itself."""
        grads = self._clip(grads)
        if "gradient_noise" not in self._now:
            return grads
        stddev = self._now["gradient_noise"] / self._replicas()
        step = self._step()
        return [
            _noisy(gradient, (self.seed, place), step, stddev)
            for place, gradient in enumerate(grads)
        ]

    def _replicas(self):
        """Returns how many add the same noise, each to its part of the sum."""
        strategy = getattr(self.optimizer, "_distribution_strategy", None)
        return strategy.num_replicas_in_sync if strategy else 1


def _noisy(gradient, seeds, step, stddev):
    if gradient is None:
        return None
    gradient = ops.convert_to_tensor(gradient)  # Noise falls on every row.
    noise = _draws.normal(tuple(gradient.shape), _draws.key(seeds, step))
    return gradient + ops.cast(noise * stddev, gradient.dtype)


def _as_attribute(held, value):
    """Returns what update rules are to read in place of the float `held`."""
    return value if isinstance(value, float) else _Traced(held, value)


@functools.total_ordering
class _Traced:
    """The float it was to comparisons, the traced value to arithmetic.

    Update rules ask `if self.momentum != 0` while they are traced, which no traced
    value could answer; the answer must be the one given when the slots were built.
    It is no float itself: a library that took it for one would use the constant.
    """

    def __init__(self, held, value):
        self.held, self.value, self.dtype = held, value, value.dtype

    def __eq__(self, other):
        return self.held == other

    def __lt__(self, other):
        return self.held < other

    __hash__ = None  # type: ignore[assignment]

    def __tf_tensor__(self, dtype=None, name=None):
        return self.value if dtype is None else ops.cast(self.value, dtype.name)

    def __jax_array__(self):
        return self.value

    def __add__(self, other):
        return self.value + other

    def __sub__(self, other):
        return self.value - other

    def __rsub__(self, other):
        return other - self.value

    def __mul__(self, other):
        return self.value * other

    def __truediv__(self, other):
        return self.value / other

    def __rtruediv__(self, other):
        return other / self.value

    def __pow__(self, other):
        return ops.power(self.value, other)

    def __neg__(self):
        return -self.value

    __radd__, __rmul__ = __add__, __mul__

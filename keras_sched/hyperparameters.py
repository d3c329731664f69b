"""Makes the compiled step read schedules. All private knowledge of Keras optimizers.

Keras reads `momentum`, `beta_1` and their like as Python floats, so the first trace
turns them into constants and setting them later changes nothing. Here, while an update
is traced (or, on torch, made), each scheduled attribute stands for the value that its
schedule has at the optimizer's own counter; before and after it is the float it was.
Configs, checkpoints and the number of variables therefore never see a schedule.
"""

import functools

import keras
from keras import ops

from keras_sched._checks import check, integer, number

SCHEDULABLE = ("learning_rate", "momentum", "beta_1", "beta_2", "rho", "weight_decay")
_MOMENTA = ("momentum", "beta_1")
# It takes its average apart with this one, as if it had been put together with it.
_MEANINGLESS = {"ScheduleFreeAdamW": ("beta_1",)}


def schedule_hyperparameters(
    optimizer, *, step_offset=0, momentum_correction=False, **schedules
):
    """Makes every update read hyperparameters from schedules.

    A function traced before does not see the change: call this before the first `fit`,
    or use a callback, which takes care of that and takes the schedules out again.

    Args:
        optimizer: A Keras optimizer, or a `LossScaleOptimizer` around one.
        step_offset: Integer added to the optimizer's counter to give the step.
        momentum_correction: Whether to give `SGD` the weights that PyTorch's has. Keras
            keeps the rate inside the velocity, so that after a drop of the rate the old,
            large one goes on for some `1 / (1 - momentum)` updates. With this the
            velocity is scaled with the rate, as Goyal et al. put it in "Accurate, Large
            Minibatch SGD" (2017). Needs `learning_rate` among the schedules, and a
            momentum without Nesterov's. An update at rate 0 forgets the velocity.
        **schedules: For each hyperparameter, a number or a function of the step (any
            schedule, of ours or of Keras). Names: `learning_rate`, `momentum`,
            `beta_1`, `beta_2`, `rho`, `weight_decay`, as far as the optimizer has them.
            The step counts batches, with gradient accumulation too.

    Returns:
        `ScheduledHyperparameters`; its `remove()` ends the scheduling.

    Raises:
        ValueError: When the optimizer has no such hyperparameter, holds one that it
            was built without (a momentum of 0 has no velocity to act on), when
            another schedule drives it already, or when there is no momentum to correct.

    >>> optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    >>> handle = schedule_hyperparameters(optimizer, momentum=OneCycleMomentum(100))
    >>> optimizer.momentum, handle
    (0.9, ScheduledHyperparameters(SGD: momentum))
    >>> handle.remove()
    """
    inner = _innermost(optimizer)
    integer("schedule_hyperparameters", "step_offset", abs(step_offset))
    driver = vars(inner).get("apply")
    taken = driver.schedules if isinstance(driver, _Driver) else {}
    for name, schedule in schedules.items():
        _check_schedulable(inner, name, schedule)
        free = f"free, but is driven by {taken.get(name)!r} already"
        check(name not in taken, inner, name, free, schedule)
        if not callable(schedule):
            schedules[name] = _constant(number(inner, name, schedule))
    if momentum_correction:
        _check_correctable(inner, {**taken, **schedules})
    if not taken:
        driver = inner.apply = _Driver(inner)
    driver.corrects |= momentum_correction
    driver.schedules.update(schedules)
    driver.offsets.update(dict.fromkeys(schedules, step_offset))
    return ScheduledHyperparameters(inner, driver, tuple(schedules))


class ScheduledHyperparameters:
    """What `schedule_hyperparameters` put in place; a context manager, too."""

    def __init__(self, optimizer, driver, names):
        self._optimizer, self._driver, self._names = optimizer, driver, names

    def remove(self):
        """Ends the scheduling; the optimizer is as it was. May be called again."""
        for name in self._names:
            self._driver.schedules.pop(name, None)
        self._driver.corrects &= "learning_rate" in self._driver.schedules
        if not self._driver.schedules:
            self._driver.uninstall()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def __repr__(self):
        names = ", ".join(self._names)
        return f"{type(self).__name__}({type(self._optimizer).__name__}: {names})"


def schedulable(optimizer):
    """Returns the names of the hyperparameters that can be driven, as a tuple."""
    inner = _innermost(optimizer)
    return tuple(name for name in SCHEDULABLE if _is_schedulable(inner, name))


def momentum_name(optimizer):
    """Returns the hyperparameter that one cycle cycles, or `None`."""
    return next((n for n in schedulable(optimizer) if n in _MOMENTA), None)


def compiled_learning_rate(optimizer):
    """Returns the rate the optimizer was compiled with, as a float.

    Raises:
        ValueError: If that is a schedule.
    """
    rate = _innermost(optimizer)._learning_rate
    must = "a number in compile, to start from; it is a schedule already"
    check(isinstance(rate, keras.Variable), optimizer, "learning_rate", must, rate)
    return float(ops.convert_to_numpy(rate))


def batches_seen(optimizer):
    """Returns how many batches the optimizer has been given, as an int.

    The public `iterations` counts updates: fewer, under gradient accumulation.
    """
    return int(ops.convert_to_numpy(_innermost(optimizer)._iterations))


def reset(optimizer, variables):
    """Gives a built optimizer the slots and counters of one that has seen nothing.

    Args:
        optimizer: The optimizer.
        variables: The trainable variables it was built on, in the same order.
    """
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(variables)
    for variable, initial in zip(optimizer.variables, fresh.variables):
        variable.assign(initial)


def _innermost(optimizer):
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    one = not hasattr(optimizer, "optimizers")
    must = "one optimizer; drive each of its `optimizers` by itself"
    check(one, "schedule_hyperparameters", "optimizer", must, optimizer)
    return optimizer


def _is_schedulable(optimizer, name):
    if name == "learning_rate":
        return True
    if name in _MEANINGLESS.get(type(optimizer).__name__, ()):
        return False
    held = getattr(optimizer, name, None)
    return isinstance(held, float) and (name != "momentum" or held > 0)


def _check_schedulable(optimizer, name, schedule):
    has = schedulable(optimizer)
    must = f"a hyperparameter this optimizer was built with ({', '.join(has)})"
    check(name in has, optimizer, name, must, schedule)


def _check_correctable(optimizer, schedules):
    plain = type(optimizer).__name__ == "SGD" and not optimizer.nesterov
    plain = plain and _is_schedulable(optimizer, "momentum")
    must = "False but for SGD with momentum, without Nesterov's"
    check(plain, optimizer, "momentum_correction", must, True)
    rate = "False unless a learning_rate is scheduled with it"
    check("learning_rate" in schedules, optimizer, "momentum_correction", rate, True)


def _constant(value):
    return lambda step: ops.convert_to_tensor(value, dtype="float32")


class _Driver:
    """Stands in for one optimizer's `apply` and holds the schedules it obeys."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.schedules, self.offsets, self.now, self.held = {}, {}, {}, {}
        self.corrects = False
        self.running = 0  # Replicas of one strategy are traced one inside another.
        self._apply, self._rate = optimizer.apply, optimizer._get_current_learning_rate
        optimizer._get_current_learning_rate = self.learning_rate
        self._call = self._apply_scheduled
        if keras.backend.backend() == "torch":
            import torch

            self._call = torch.compiler.disable(self._apply_scheduled)

    def __call__(self, grads, trainable_variables=None):
        return self._call(grads, trainable_variables)

    def _apply_scheduled(self, grads, trainable_variables):
        if not self.running:
            attributes = self.schedules.keys() - {"learning_rate"}
            attributes |= {"momentum"} if self.corrects else set()
            self.held = {n: float(getattr(self.optimizer, n)) for n in attributes}
        self.running += 1
        try:
            self.now = {name: self.value(name) for name in self.schedules}
            if self.corrects:
                momentum = self.now.get("momentum", self.held["momentum"])
                self.now["momentum"] = momentum * self._rate_over_the_last()
            for name, value in self.held.items():
                now = _as_attribute(value, self.now[name])
                setattr(self.optimizer, name, now)
            return self._apply(grads, trainable_variables)
        finally:
            self.running -= 1
            if not self.running:
                self._restore()

    def _restore(self):
        self.now = {}
        for name, value in self.held.items():
            setattr(self.optimizer, name, value)

    def _rate_over_the_last(self):
        """Returns by how much the rate has grown since the update before this one."""
        rate = self.now["learning_rate"]
        back = self.optimizer.gradient_accumulation_steps or 1
        before = self.value("learning_rate", back)
        if isinstance(rate, float):
            return rate / before if before else 1.0
        return ops.where(before > 0, rate / before, 1.0)

    def value(self, name, back=0):
        """Returns what a schedule says of this step, or of one so many steps back.

        What is further back than the optimizer's first step is taken for that.
        """
        schedule, offset = self.schedules[name], self.offsets[name]
        if keras.backend.backend() == "torch":
            with keras.device("cpu"):
                step = max(batches_seen(self.optimizer) - back, 0)
                return float(schedule(step + offset))
        step = ops.convert_to_tensor(self.optimizer._iterations)
        step = ops.maximum(step - back, 0) if back else step
        return schedule(step + offset)

    def learning_rate(self):
        if "learning_rate" not in self.schedules:
            return self._rate()
        if "learning_rate" in self.now:
            return self.now["learning_rate"]
        return self.value("learning_rate")

    def uninstall(self):
        if vars(self.optimizer).get("apply") is self:
            del self.optimizer.apply, self.optimizer._get_current_learning_rate


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

    __hash__ = None

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

"""Which hyperparameters an optimizer has, and schedules that its updates read."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_sched import _driver
from keras_sched._checks import check, integer, number
from keras_sched._types import Rate, Tensor

SCHEDULABLE = ("learning_rate", *_driver.ATTRIBUTES, "gradient_noise")
_MOMENTA = ("momentum", "beta_1")
# It takes its average apart with this one, as if it had been put together with it.
_MEANINGLESS = {"ScheduleFreeAdamW": ("beta_1",)}


def schedule_hyperparameters(
    optimizer: keras.optimizers.Optimizer,
    *,
    step_offset: int = 0,
    momentum_correction: bool = False,
    seed: int = 0,
    **schedules: Rate | Callable[[Tensor], Tensor],
) -> "ScheduledHyperparameters":
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
        seed: Integer seed of the gradient noise, which is a function of that and of the
            optimizer's counter.
        **schedules: For each hyperparameter, a number or a function of the step (any
            schedule, of ours or of Keras). Names: `learning_rate`, `momentum`,
            `beta_1`, `beta_2`, `rho`, `weight_decay`, as far as the optimizer has them;
            and `gradient_noise`, the standard deviation of normal noise that is added
            to every gradient once an update, after clipping. The step counts batches,
            with gradient accumulation too.

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
    integer("schedule_hyperparameters", "seed", seed)
    driver = _driver.driver_of(inner)
    taken = driver.schedules if driver else {}
    for name, schedule in schedules.items():
        _check_schedulable(inner, name, schedule)
        free = f"free, but is driven by {taken.get(name)!r} already"
        check(name not in taken, inner, name, free, schedule)
        if not callable(schedule):
            schedules[name] = _constant(number(inner, name, schedule))
    if momentum_correction:
        check_correctable(inner)
        given = "learning_rate" in (*taken, *schedules)
        must = "False unless a learning_rate is scheduled with it"
        check(given, inner, "momentum_correction", must, True)
    driver = driver or _driver.Driver(inner)
    if "gradient_noise" in schedules:
        driver.seed = seed
    driver.corrects |= momentum_correction
    driver.schedules.update(schedules)
    driver.offsets.update(dict.fromkeys(schedules, step_offset))
    return ScheduledHyperparameters(inner, driver, tuple(schedules))


class ScheduledHyperparameters:
    """What `schedule_hyperparameters` put in place; a context manager, too."""

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        driver: _driver.Driver,
        names: tuple[str, ...],
    ):
        self._optimizer, self._driver, self._names = optimizer, driver, names

    def remove(self) -> None:
        """Ends the scheduling; the optimizer is as it was. May be called again."""
        for name in self._names:
            self._driver.schedules.pop(name, None)
        self._names = ()
        self._driver.corrects &= "learning_rate" in self._driver.schedules
        self._driver.uninstall_if_idle()

    def __enter__(self) -> "ScheduledHyperparameters":
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()

    def __repr__(self):
        names = ", ".join(self._names)
        return f"{type(self).__name__}({type(self._optimizer).__name__}: {names})"


def scale_learning_rate(optimizer, scale):
    """Multiplies the rate, whatever it comes from, by what `scale()` returns.

    An update calls it while it is traced. Several scales multiply each other.

    Returns:
        Function that ends the scaling.
    """
    inner = _innermost(optimizer)
    driver = _driver.driver_of(inner) or _driver.Driver(inner)
    driver.scales.append(scale)

    def remove():
        if scale in driver.scales:
            driver.scales.remove(scale)
            driver.uninstall_if_idle()

    return remove


def scale_velocity(optimizer, factor):
    """Multiplies the velocities that an `SGD` keeps by a number."""
    for velocity in getattr(_innermost(optimizer), "momentums", ()):
        velocity.assign(velocity * factor)


def last_used(optimizer, name):
    """Returns, as a float, what a driven optimizer's last update took."""
    driver = _driver.driver_of(_innermost(optimizer))
    return float(ops.convert_to_numpy(driver.last_used(name)))


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
    return _driver.batches_seen(_innermost(optimizer))


def batches_per_update(optimizer):
    """Returns how many batches go into one update, as an int."""
    return _innermost(optimizer).gradient_accumulation_steps or 1


def check_correctable(optimizer):
    """Refuses an optimizer whose velocity does not hold the rate."""
    inner = _innermost(optimizer)
    plain = type(inner).__name__ == "SGD" and not inner.nesterov
    plain = plain and _is_schedulable(inner, "momentum")
    must = "False but for SGD with momentum, without Nesterov's"
    check(plain, inner, "momentum_correction", must, True)


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
    if name not in _driver.ATTRIBUTES:
        return True
    if name in _MEANINGLESS.get(type(optimizer).__name__, ()):
        return False
    held = getattr(optimizer, name, None)
    return isinstance(held, float) and (name != "momentum" or held > 0)


def _check_schedulable(optimizer, name, schedule):
    has = schedulable(optimizer)
    must = f"a hyperparameter this optimizer was built with ({', '.join(has)})"
    check(name in has, optimizer, name, must, schedule)


def _constant(value):
    return lambda step: ops.convert_to_tensor(value, dtype="float32")

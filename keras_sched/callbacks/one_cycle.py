"""One cycle of rate and momentum over a whole `fit`."""

from typing import Any

from keras_sched import schedules
from keras_sched._checks import check, integer, one_of
from keras_sched._types import Anneal, Recipe
from keras_sched.callbacks.base import ScheduleCallback
from keras_sched.hyperparameters import momentum_name

# What differs from the defaults of `schedules.OneCycle`, which are PyTorch's.
RECIPES: dict[str, dict[str, Any]] = {
    "pytorch": {},
    "fastai": {"pct_start": 0.25, "final_div_factor": 4e3},
    "paper": {
        "pct_start": 0.45,
        "div_factor": 10.0,
        "final_div_factor": 100.0,
        "anneal": "linear",
        "three_phase": True,
    },
}


class OneCycle(ScheduleCallback):
    """Runs `fit` as one cycle: the rate rises and falls, the momentum mirrors it.

    With `SGD` or `RMSprop` built with momentum, `momentum` is cycled; with `Adam` and
    its kin, `beta_1`. `schedules.OneCycle` and `schedules.OneCycleMomentum` say how, and
    give the sources. The rate the optimizer was compiled with comes back at the end.

    In the next `fit` the cycle begins again; with `initial_epoch`, or after a resume, it
    goes on where that epoch stands in it. Past `total_steps` the last rate stays.

    Args:
        max_learning_rate: The peak of the rate. Above 0.
        total_steps: Length of the cycle in batches. `None`: all epochs of the `fit`.
        cycle_momentum: Whether to drive the momentum too.
        base_momentum: Momentum at the peak of the rate.
        max_momentum: Momentum at both ends.
        recipe: What the arguments below are where they are `None`. "pytorch": as in
            `OneCycleLR`. "fastai": as in `fit_one_cycle`, up in a quarter of the run and
            down to a 100,000th of the peak. "paper": as in Smith 2018, straight up from
            a tenth of the peak and down again in 45 % of the run each, and in the last
            tenth to a hundredth of that.
        pct_start: Part of the cycle spent rising.
        div_factor: The first rate is the peak divided by this.
        final_div_factor: The last rate is the first divided by this.
        anneal: "cosine" or "linear".
        three_phase: Whether the fall to the first rate mirrors the rise.
        momentum_correction: Whether SGD's velocity follows the rate, as PyTorch's does;
            `schedule_hyperparameters` says how.

    Raises:
        ValueError: At construction, for an argument out of bounds. When training begins,
            if the optimizer has no momentum to cycle, or if neither `total_steps` nor
            the length of the data is known.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    >>> x, y = np.ones((32, 4)), np.ones((32, 1))
    >>> cycle = callbacks.OneCycle(0.5)
    >>> history = model.fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=[cycle])
    >>> [round(rate, 3) for rate in history.history["learning_rate"]]
    [0.334, 0.475, 0.306, 0.094, 0.0]
    """

    def __init__(
        self,
        max_learning_rate: float,
        *,
        total_steps: int | None = None,
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        recipe: Recipe = "pytorch",
        pct_start: float | None = None,
        div_factor: float | None = None,
        final_div_factor: float | None = None,
        anneal: Anneal | None = None,
        three_phase: bool | None = None,
        momentum_correction: bool = False,
    ):
        super().__init__(momentum_correction=momentum_correction)
        self.max_learning_rate = max_learning_rate
        self.total_steps = total_steps
        self.cycle_momentum = cycle_momentum
        given = dict(pct_start=pct_start, anneal=anneal, three_phase=three_phase)
        given |= dict(div_factor=div_factor, final_div_factor=final_div_factor)
        told = {name: value for name, value in given.items() if value is not None}
        self._shape = RECIPES[one_of(self, "recipe", recipe, RECIPES)] | told
        self._momenta = dict(base_momentum=base_momentum, max_momentum=max_momentum)
        if total_steps is not None:
            integer(self, "total_steps", total_steps, at_least=1)
        self._rate(total_steps or 1), self._momentum(total_steps or 1)

    def _rate(self, steps):
        return schedules.OneCycle(self.max_learning_rate, steps, **self._shape)

    def _momentum(self, steps):
        factors = ("div_factor", "final_div_factor")
        shape = {n: v for n, v in self._shape.items() if n not in factors}
        return schedules.OneCycleMomentum(steps, **self._momenta, **shape)

    def schedules(self, optimizer, steps_per_epoch, epochs):
        steps = self.total_steps or (steps_per_epoch or 0) * epochs
        known = "given, as the data do not tell how many batches an epoch has"
        check(steps, self, "total_steps", known, self.total_steps)
        driven = {"learning_rate": self._rate(steps)}
        if not self.cycle_momentum:
            return driven
        name = momentum_name(optimizer)
        must = f"False with {type(optimizer).__name__}, built without a momentum to cycle"
        check(name, self, "cycle_momentum", must, True)
        return driven | {name: self._momentum(steps)}

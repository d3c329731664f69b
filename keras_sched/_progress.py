"""How far a run has come, as a checkpoint tells it beside the arrays."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass
class Progress:
    """Where a run goes on, what was best, and what it has been through.

    Attributes:
        epoch, step: The epoch to go on with and the step in it, both from 0.
        trained: Whether all steps of that epoch are done, and its validation is not.
        value: Monitored value of the last epoch, or `None`.
        best, best_epoch: Best value so far and its epoch, or `None`.
        wait: Epochs since then that patience counts.
        highest_rate: Highest learning rate at an epoch's end.
        rollbacks: How many times the weights went back.
        stop_reason: Why it has stopped, or `None`.
        history, epochs: What `History` has, and of which epochs.
    """

    epoch: int = 0
    step: int = 0
    trained: bool = False
    value: float | None = None
    best: float | None = None
    best_epoch: int | None = None
    wait: int = 0
    highest_rate: float = -math.inf
    rollbacks: int = 0
    stop_reason: str | None = None
    history: dict = dataclasses.field(default_factory=dict)
    epochs: list = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, state):
        """Returns what `state` holds of it, a dict that may hold more."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: state[name] for name in names})

    @property
    def place(self):
        """Where the run goes on, in an order of time."""
        return self.epoch, self.trained, self.step

    def stand_at(self, step, trained=False):
        """Notes that so many steps of the epoch are done."""
        self.step, self.trained = step, trained

    def finish_epoch(self, logs):
        """Notes that the epoch is done, with these logs."""
        self.epochs.append(self.epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(np.asarray(value).tolist())
        self.epoch, self.step, self.trained, self.value = self.epoch + 1, 0, False, None

    def judge(self, value, metric, rate, counts_from):
        """Notes the value of the epoch that has just been finished.

        Args:
            value: Monitored value, finite.
            metric: `Monitor` that tells which is better.
            rate: Learning rate at the end of the epoch.
            counts_from: First epoch that patience counts, or "peak": the first whose rate
                is not the highest so far.

        Returns:
            Whether it is the best.
        """
        epoch, rises = self.epoch - 1, rate > self.highest_rate
        self.value, self.highest_rate = value, max(rate, self.highest_rate)
        is_best = metric.is_better(value, self.best)
        if is_best:
            self.best, self.best_epoch, self.wait = value, epoch, 0
        elif not rises if counts_from == "peak" else epoch >= counts_from:
            self.wait += 1
        return is_best

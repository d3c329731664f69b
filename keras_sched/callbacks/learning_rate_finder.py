"""The range test as a callback, for where `fit` is called by someone else."""

from keras_sched._checks import check
from keras_sched.learning_rate_finder import Sweep


class LearningRateFinder(Sweep):
    """Turns a `fit` into a range test, which it ends; `curve` has what was found.

    The model is as it was afterwards, to the bit. Where `fit` is yours to call,
    `find_learning_rate` does the same in one line; it also goes through short data
    again, and puts the weights back even if `fit` breaks off by an exception, where this
    one stops driving the rate but leaves the weights as they are.

    Args:
        min_learning_rate: Rate of the first batch. Above 0.
        max_learning_rate: Rate of the last batch. Above `min_learning_rate`.
        steps: Number of batches. At least 2.
        divergence_factor: Training ends when the loss, the median of five batches, is
            so many times its best, and above all losses of the first tenth. Above 1.

    Attributes:
        curve: `LearningRateCurve`.

    Raises:
        ValueError: At construction, for an argument out of these bounds. When training
            begins, for a model compiled with several `steps_per_execution`, which tells
            the loss of several batches only.

    >>> x, y = np.ones((256, 4)), np.ones((256, 1))
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> finder = callbacks.LearningRateFinder(steps=40)
    >>> history = model.fit(x, y, 8, epochs=9, verbose=0, callbacks=[finder])
    >>> finder.curve.stop_reason
    'diverged'
    """

    def __init__(
        self,
        *,
        min_learning_rate: float = 1e-7,
        max_learning_rate: float = 10.0,
        steps: int = 100,
        divergence_factor: float = 4.0,
    ):
        owner = type(self).__name__
        super().__init__(
            owner, min_learning_rate, max_learning_rate, steps, divergence_factor
        )

    def on_train_begin(self, logs=None):
        at_once = getattr(self.model, "steps_per_execution", 1)
        must = "1 in compile, to see the loss of each batch"
        check(at_once == 1, self, "steps_per_execution", must, at_once)
        super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        self.undo()

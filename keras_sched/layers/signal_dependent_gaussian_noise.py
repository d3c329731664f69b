"""The noise of a camera: of photons and of the electronics."""

from typing import Any

from keras_sched import _ops as ops
from keras_sched._checks import at_least, number
from keras_sched._types import Amount, Distribution, Pair
from keras_sched.layers.noise_base import Noise


class SignalDependentGaussianNoise(Noise):
    """Adds normal noise whose variance is `gain` times the value, plus `stddev` squared.

    The model of Foi et al., "Practical Poissonian-Gaussian Noise Modeling and Fitting for
    Single-Image Raw-Data" (2008): photons are counted, what reads them out is noisy.

    Args:
        gain: Variance for each unit of a value, in the input's units. At least 0.
        stddev: Standard deviation where the value is 0, at least 0; or a pair to draw it
            between for each image; or a schedule of the layer's own steps.
        value_range: Low and high number to clip to; `None` for what the dtype holds.
        distribution: "normal", or "uniform": 256 evenly spaced values of the same
            variance, at a part of the price.
        seed: Integer, or `None` for another draw in each run.
        **kwargs: As for any Keras layer.

    Input: `(batch, ...)`, any dtype; integers are rounded. Below 0 the variance is that
        of 0.
    Output: The same shape and dtype.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> images = np.array([[0.0] * 999, [100.0] * 999], "float32")
    >>> noisy = SignalDependentGaussianNoise(0.25, 1.0, seed=1).augment(images)
    >>> [round(float(row.std())) for row in np.array(noisy)]
    [1, 5]
    """

    def __init__(
        self,
        gain: float,
        stddev: Amount,
        *,
        value_range: Pair | None = None,
        distribution: Distribution = "normal",
        seed: int | None = None,
        **kwargs: Any,
    ):
        kwargs |= dict(value_range=value_range, distribution=distribution, seed=seed)
        super().__init__(stddev, **kwargs)
        self.gain = number(self, "gain", gain)
        at_least(self, 0, "gain")

    def added(self, values, noise, stddev):
        variance = self.gain * ops.maximum(values, 0.0) + stddev * stddev
        return ops.sqrt(variance) * noise

"""Noise that does not depend on the signal."""

from keras_sched.layers.noise_base import Noise


class AdditiveGaussianNoise(Noise):
    """Adds normal noise to every value of what trains, in the units of the input.

    After Bishop, "Training with Noise is Equivalent to Tikhonov Regularization" (1995).
    Keras's `GaussianNoise` takes no deviation above 1, no integers and no schedule.

    Args:
        stddev: Standard deviation, in the input's units, at least 0; or a pair to draw it
            between for each image; or a schedule of the layer's own steps, which anneals
            it without compiling anew.
        value_range: Low and high number to clip to; `None` for what the dtype holds.
        distribution: "normal", or "uniform": 256 evenly spaced values of the same
            variance, at a part of the price.
        seed: Integer, or `None` for another draw in each run.
        **kwargs: As for any Keras layer.

    Input: `(batch, ...)`, any dtype; integers are rounded.
    Output: The same shape and dtype.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> images = np.full((2, 64, 64, 3), 100, "uint8")
    >>> noisy = AdditiveGaussianNoise(10.0, seed=1).augment(images)
    >>> bool(9.5 < np.std(noisy) < 10.5)
    True
    """

    def added(self, values, noise, stddev):
        return stddev * noise

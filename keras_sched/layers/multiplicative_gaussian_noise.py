"""Noise in proportion to the signal."""

from keras_sched.layers.noise_base import Noise


class MultiplicativeGaussianNoise(Noise):
    """Multiplies every value of what trains by a normal number around 1: speckle.

    After Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting" (2014), section 10, whose rate `p` is a deviation of `sqrt(p / (1 - p))`.

    Args:
        stddev: Standard deviation of the factor, at least 0; or a pair to draw it between
            for each image; or a schedule of the layer's own steps.
        value_range: Low and high number to clip to; `None` for what the dtype holds.
        distribution: "normal", or "uniform": 256 evenly spaced values of the same
            variance, at a part of the price.
        seed: Integer, or `None` for another draw in each run.
        **kwargs: As for any Keras layer.

    Input: `(batch, ...)`, any dtype; integers are rounded.
    Output: The same shape and dtype.

    Raises:
        ValueError: For an argument out of these bounds.

    >>> images = np.array([[0.0] * 9, [100.0] * 9], "float32")
    >>> noisy = MultiplicativeGaussianNoise(0.1, seed=1).augment(images)
    >>> [bool(row.any()) for row in np.array(noisy) - images]
    [False, True]
    """

    def added(self, values, noise, stddev):
        return values * stddev * noise

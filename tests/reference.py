"""A model so small that its training can be worked out in NumPy, and how."""

import keras
import numpy as np

from keras_sched import _draws

STEPS, BATCH = 16, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(STEPS * BATCH, 3)).astype("float32")
Y = X @ np.array([[1.0], [2.0], [-1.0]], "float32")
SGD = {"learning_rate": 0.02, "momentum": 0.9}


def ramp(start, end):
    """A schedule, as a function of tensors in the step and of floats in NumPy."""

    def value(step):
        part = step if isinstance(step, int) else keras.ops.cast(step, "float32")
        return start + (end - start) * (part / STEPS)

    return value


RAMPS = {
    "learning_rate": ramp(0.01, 0.05),
    "momentum": ramp(0.95, 0.5),
    "beta_1": ramp(0.95, 0.5),
    "beta_2": ramp(0.99, 0.9),
    "rho": ramp(0.95, 0.7),
    "weight_decay": ramp(0.0, 0.5),
    "gradient_noise": ramp(0.0, 0.5),
}


def make_model(name="SGD", built=SGD, **compiled):
    keras.utils.set_random_seed(1)
    layer = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((3,)), layer])
    optimizer = getattr(keras.optimizers, name)(**built)
    model.compile(optimizer, "mse", **compiled)
    return model


def train(model, **arguments):
    arguments = dict(batch_size=BATCH, shuffle=False, verbose=0) | arguments
    model.fit(X, Y, **arguments)
    return model.get_weights()[0]


class Report(keras.callbacks.Callback):
    """Puts given values into the epochs' logs, in place of a measured loss."""

    def __init__(self, values, name="loss"):
        super().__init__()
        self.values, self.name = values, name

    def on_epoch_end(self, epoch, logs=None):
        if self.name in logs:
            logs[self.name] = self.values[epoch]


class Stop(keras.callbacks.Callback):
    """Ends the run, by an exception, before a step."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.place, self.epoch = (epoch, batch), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            raise KeyboardInterrupt


def batches(times=1):
    for _ in range(times):
        for step in range(STEPS):
            rows = slice(step * BATCH, (step + 1) * BATCH)
            yield X[rows], Y[rows]


def as_numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def arrays(model):
    """Every array of a model, its optimizer and its metrics."""
    held = model.variables + model.optimizer.variables + model.metrics_variables
    return [as_numpy(variable) for variable in held]


def drawn(step, seed=0, variable=0, shape=(3, 1)):
    """The normal numbers that gradient noise is made of."""
    return as_numpy(_draws.normal(shape, _draws.key((seed, variable), step))).astype(
        "float64"
    )


def gradients(weights, step):
    """The gradient of the mean squared error of one batch, by hand."""
    rows = slice(step * BATCH, (step + 1) * BATCH)
    x, y = X[rows].astype("float64"), Y[rows].astype("float64")
    return 2 * x.T @ (x @ weights - y) / BATCH


def decayed(weights, driven, step):
    """Decoupled decay comes first, with the gradient of the weights before it."""
    return weights * (1 - driven("weight_decay", step) * driven("learning_rate", step))


def sgd(weights, driven, nesterov=False, noise=None):
    noise = np.zeros(STEPS) if noise is None else noise
    velocity = np.zeros_like(weights)
    for step in range(STEPS):
        gradient = gradients(weights, step) + noise[step]
        weights = decayed(weights, driven, step)
        rate, momentum = driven("learning_rate", step), driven("momentum", step)
        velocity = momentum * velocity - rate * gradient
        ahead = momentum * velocity - rate * gradient
        weights = weights + (ahead if nesterov else velocity)
    return weights


def adam(weights, driven):
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(STEPS):
        gradient = gradients(weights, step)
        rate, beta = driven("learning_rate", step), driven("beta_1", step)
        weights = decayed(weights, driven, step)
        mean = beta * mean + (1 - beta) * gradient
        square = driven("beta_2", step) * square
        square += (1 - driven("beta_2", step)) * gradient**2
        scale = np.sqrt(1 - driven("beta_2", step) ** (step + 1))
        scale /= 1 - beta ** (step + 1)
        weights = weights - rate * scale * mean / (np.sqrt(square) + 1e-7)
    return weights


def rmsprop(weights, driven):
    square, velocity = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(STEPS):
        gradient = gradients(weights, step)
        weights = decayed(weights, driven, step)
        rho = driven("rho", step)
        square = rho * square + (1 - rho) * gradient**2
        push = driven("learning_rate", step) * gradient / np.sqrt(square + 1e-7)
        velocity = driven("momentum", step) * velocity + push
        weights = weights - velocity
    return weights


def nesterov(weights, driven):
    return sgd(weights, driven, nesterov=True)


adamw = adam


def adagrad(weights, driven):
    total = np.full_like(weights, 0.1)
    for step in range(STEPS):
        gradient = gradients(weights, step)
        weights = decayed(weights, driven, step)
        total = total + gradient**2
        push = driven("learning_rate", step) * gradient
        weights = weights - push / np.sqrt(total + 1e-7)
    return weights


def adadelta(weights, driven):
    squares, deltas = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(STEPS):
        gradient = gradients(weights, step)
        weights = decayed(weights, driven, step)
        rho = driven("rho", step)
        squares = rho * squares + (1 - rho) * gradient**2
        delta = np.sqrt(deltas + 1e-7) / np.sqrt(squares + 1e-7) * gradient
        deltas = rho * deltas + (1 - rho) * delta**2
        weights = weights - driven("learning_rate", step) * delta
    return weights


def adamax(weights, driven):
    mean, norm = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(STEPS):
        gradient = gradients(weights, step)
        weights = decayed(weights, driven, step)
        beta = driven("beta_1", step)
        mean = beta * mean + (1 - beta) * gradient
        norm = np.maximum(driven("beta_2", step) * norm, np.abs(gradient))
        rate = driven("learning_rate", step) / (1 - beta ** (step + 1))
        weights = weights - rate * mean / (norm + 1e-7)
    return weights


def nadam(weights, driven):
    mean, square, product = np.zeros_like(weights), np.zeros_like(weights), 1.0
    for step in range(STEPS):
        gradient = gradients(weights, step)
        weights = decayed(weights, driven, step)
        beta_1, beta_2 = driven("beta_1", step), driven("beta_2", step)
        now = beta_1 * (1 - 0.5 * 0.96 ** (step + 1))
        later = beta_1 * (1 - 0.5 * 0.96 ** (step + 2))
        product *= now
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient**2
        push = later * mean / (1 - product * later)
        push = push + (1 - now) * gradient / (1 - product)
        scale = np.sqrt(square / (1 - beta_2 ** (step + 1))) + 1e-7
        weights = weights - driven("learning_rate", step) * push / scale
    return weights


def lion(weights, driven):
    mean = np.zeros_like(weights)
    for step in range(STEPS):
        gradient = gradients(weights, step)
        weights = decayed(weights, driven, step)
        beta_1, beta_2 = driven("beta_1", step), driven("beta_2", step)
        push = np.sign(beta_1 * mean + (1 - beta_1) * gradient)
        weights = weights - driven("learning_rate", step) * push
        mean = beta_2 * mean + (1 - beta_2) * gradient
    return weights


def lamb(weights, driven):
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(STEPS):
        gradient = gradients(weights, step)
        weights = decayed(weights, driven, step)
        beta_1, beta_2 = driven("beta_1", step), driven("beta_2", step)
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient**2
        push = mean / (1 - beta_1 ** (step + 1))
        push = push / (np.sqrt(square / (1 - beta_2 ** (step + 1))) + 1e-7)
        trust = np.linalg.norm(weights) / np.linalg.norm(push)
        weights = weights - driven("learning_rate", step) * trust * push
    return weights

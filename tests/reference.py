"""A model so small that its training can be worked out in NumPy, and how."""

import keras
import numpy as np

STEPS, BATCH = 16, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(STEPS * BATCH, 3)).astype("float32")
Y = X @ np.array([[1.0], [2.0], [-1.0]], "float32")
SGD = {"learning_rate": 0.02, "momentum": 0.9}


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


def as_numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def arrays(model):
    """Every array of a model, its optimizer and its metrics."""
    held = model.variables + model.optimizer.variables + model.metrics_variables
    return [as_numpy(variable) for variable in held]


def gradients(weights, step):
    """The gradient of the mean squared error of one batch, by hand."""
    rows = slice(step * BATCH, (step + 1) * BATCH)
    x, y = X[rows].astype("float64"), Y[rows].astype("float64")
    return 2 * x.T @ (x @ weights - y) / BATCH


def sgd(weights, driven, nesterov=False):
    velocity = np.zeros_like(weights)
    for step in range(STEPS):
        gradient = gradients(weights, step)
        rate, momentum = driven("learning_rate", step), driven("momentum", step)
        velocity = momentum * velocity - rate * gradient
        ahead = momentum * velocity - rate * gradient
        weights = weights + (ahead if nesterov else velocity)
    return weights


def adam(weights, driven, weight_decay=0.0):
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(STEPS):
        gradient = gradients(weights, step)
        rate, beta = driven("learning_rate", step), driven("beta_1", step)
        weights = weights - weights * driven("weight_decay", step) * rate
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
        rho = driven("rho", step)
        square = rho * square + (1 - rho) * gradient**2
        push = driven("learning_rate", step) * gradient / np.sqrt(square + 1e-7)
        velocity = driven("momentum", step) * velocity + push
        weights = weights - velocity
    return weights


def nesterov(weights, driven):
    return sgd(weights, driven, nesterov=True)

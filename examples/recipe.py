"""A recipe for training a net, in seven steps, each with a verdict and a picture.

After the notes of CS231n and Karpathy's recipe (2019): trust nothing that has not been
seen to work. 1. Is the first loss what chance gives? 2. Can it learn a few images by
heart? 3. Which rate? 4. Which rate and weight decay, roughly? 5. And finely? 6. What do
the curves say? 7. Go on, with the best. Digits of scikit-learn; the search is Optuna's.

    python examples/recipe.py
"""

import argparse
import math
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib
import numpy as np
import optuna
from sklearn.datasets import load_digits

from keras_sched import callbacks, find_learning_rate, layers, plot

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CLASSES, BATCH = 10, 32


def digits():
    """Returns images and labels: to train with, to choose by, to test on at the end."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].reshape(-1, 8, 8, 1).astype("float32") / 16, y[order]
    return (x[:1000], y[:1000]), (x[1000:1400], y[1000:1400]), (x[1400:], y[1400:])


def network(rate=0.01, weight_decay=0.0, augment=True):
    keras.utils.set_random_seed(0)
    convolution = dict(kernel_size=3, padding="same", use_bias=False)
    parts = [keras.Input((8, 8, 1)), *[layers.Cutout(2, seed=0)] * augment]
    for filters in (16, 32):
        parts += [
            keras.layers.Conv2D(filters, **convolution),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    parts += [keras.layers.MaxPooling2D(), keras.layers.Flatten()]
    model = keras.Sequential([*parts, keras.layers.Dense(CLASSES)])
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def first_loss(train, picture):
    """1. A net that knows nothing gives all classes about the same chance."""
    model, expected = network(), math.log(CLASSES)
    loss = model.evaluate(*train, verbose=0)[0]
    chances = keras.ops.softmax(model.predict(train[0], verbose=0))
    figure, ax = plt.subplots(layout="constrained")
    ax.bar(range(CLASSES), keras.ops.convert_to_numpy(chances).mean(0))
    ax.axhline(1 / CLASSES, color="black", linestyle=":")
    ax.set(xlabel="class", ylabel="mean chance", title=f"first loss {loss:.2f}")
    figure.savefig(picture)
    said = f"first loss {loss:.2f}, log {CLASSES} = {expected:.2f}"
    return abs(loss - expected) < 0.5, said


def overfit(train, picture, images=20, epochs=60):
    """2. A net that cannot learn a few images by heart has a fault."""
    few = [part[:images] for part in train]
    model = network(augment=False)
    how = dict(batch_size=images, epochs=epochs, verbose=0)
    history = model.fit(*few, **how)
    plot.save(plot.history(history)[0], picture)
    loss, accuracy = (history.history[name][-1] for name in ("loss", "accuracy"))
    said = f"{images} images: accuracy {accuracy:.0%}, loss {loss:.3f}"
    return accuracy == 1 and loss < 0.1, said


def find_rate(train, picture):
    """3. The rate at which the loss falls steepest."""
    curve = find_learning_rate(network(), *train, batch_size=BATCH, verbose=0)
    plot.save(plot.learning_rate_curve(curve), picture)
    return curve.suggest()


def search(train, held_out, rates, decays, epochs, trials, picture):
    """4 and 5. Rates and decays drawn at random, evenly in their logarithms."""

    def held_out_loss(trial):
        rate = trial.suggest_float("rate", *rates, log=True)
        decay = trial.suggest_float("weight_decay", *decays, log=True)
        model, cycle = network(weight_decay=decay), callbacks.OneCycle(rate)
        how = dict(batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[cycle])
        model.fit(*train, **how)
        return model.evaluate(*held_out, verbose=0)[0]

    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    study.optimize(held_out_loss, n_trials=trials)
    tried = [(t.params["rate"], t.params["weight_decay"], t.value) for t in study.trials]
    tried_rates, tried_decays, losses = zip(*tried)
    figure, ax = plt.subplots(layout="constrained")
    points = ax.scatter(tried_rates, tried_decays, c=losses, cmap="viridis_r")
    figure.colorbar(points, label="held-out loss")
    ax.set(xscale="log", yscale="log", xlabel="rate", ylabel="weight decay")
    figure.savefig(picture)
    return study.best_params["rate"], study.best_params["weight_decay"], study.best_value


def read_curves(train, held_out, rate, decay, epochs, picture):
    """6. Do the curves still fall, and how far apart are they?"""
    model = network(weight_decay=decay)
    cycle = callbacks.OneCycle(rate)
    how = dict(batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[cycle])
    history = model.fit(*train, validation_data=held_out, **how)
    plot.save(plot.history(history)[0], picture)
    losses = history.history["val_loss"]
    falls = losses[-epochs // 4] - losses[-1] > 0.05 * losses[-1]
    accuracies = [history.history[name][-1] for name in ("accuracy", "val_accuracy")]
    gap = accuracies[0] - accuracies[1]
    more = "still falls: more epochs" if falls else "has come to rest"
    apart = "learns by heart: more augmentation" if gap > 0.03 else "no gap to speak of"
    told = "accuracy {:.1%} in training, {:.1%} held out".format(*accuracies)
    return f"held-out loss {more}; {told}: {apart}"


def go_on(train, held_out, test, rate, decay, epochs, folder):
    """7. The best recipe, longer, with the best model kept."""
    model = network(weight_decay=decay)
    checkpoint = callbacks.CheckpointEarlyStopping(folder / "checkpoints", verbose=0)
    recipe = [callbacks.OneCycle(rate), checkpoint]
    how = dict(batch_size=BATCH, epochs=epochs, verbose=0, callbacks=recipe)
    history = model.fit(*train, validation_data=held_out, **how)
    plot.save(plot.history(history)[0], folder / "7_go_on.png")
    return model.evaluate(*test, verbose=0)[1], checkpoint.best_path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=pathlib.Path, default="recipe_run")
    parser.add_argument("--trials", type=int, default=12, help="of each search")
    parser.add_argument("--epochs", type=int, default=5, help="of a trial of the first")
    given = parser.parse_args()
    folder, epochs = given.directory, given.epochs
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    train, held_out, test = digits()

    def tell(step, verdict):
        print(f"{step}. {verdict}", flush=True)

    for step, check in (1, first_loss), (2, overfit):
        sound, said = check(train, folder / f"{step}_{check.__name__}.png")
        tell(step, f"{said}: {'as it should be' if sound else 'something is wrong'}")
        if not sound:
            raise SystemExit("mend that first")
    suggested = find_rate(train, folder / "3_find_rate.png")
    tell(3, f"the finder suggests {suggested:.2g}")
    wide = (suggested / 30, suggested * 10), (1e-5, 1e-1)
    rate, decay, loss = search(
        train, held_out, *wide, epochs, given.trials, folder / "4_coarse.png"
    )
    tell(
        4, f"coarse: rate {rate:.2g}, weight decay {decay:.2g}, held-out loss {loss:.3f}"
    )
    near = (rate / 3, rate * 3), (decay / 10, decay * 10)
    rate, decay, loss = search(
        train, held_out, *near, 2 * epochs, given.trials, folder / "5_fine.png"
    )
    tell(5, f"fine: rate {rate:.2g}, weight decay {decay:.2g}, held-out loss {loss:.3f}")
    best = train, held_out
    tell(6, read_curves(*best, rate, decay, 2 * epochs, folder / "6_curves.png"))
    accuracy, path = go_on(*best, test, rate, decay, 6 * epochs, folder)
    tell(7, f"test accuracy {accuracy:.1%}, best model {path}")
    print(f"pictures in {folder}")


if __name__ == "__main__":
    main()

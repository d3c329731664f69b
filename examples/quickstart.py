"""Digits: from arrays to records to a model trained in one cycle, and pictures of it."""

import argparse
import os
import pathlib
import shutil
import textwrap

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_sched
from keras_sched import callbacks, plot, schedules, tfrecord

EPOCHS, BATCH_SIZE, SEED = 20, 32, 0
STEPS_PER_EPOCH = 40
SPLITS = ("train", "validation", "test")


def write_records(directory):
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("uint8")
    split = dict(random_state=SEED, test_size=360)
    x, x_test, y, y_test = train_test_split(images, labels, stratify=labels, **split)
    parts = (x[180:], y[180:]), (x[:180], y[:180]), (x_test, y_test)
    how = dict(overwrite=True, progress=False)
    for name, part in zip(SPLITS, parts):
        print("  ", tfrecord.convert(part, directory, split=name, **how))


def build_model():
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 8, offset=-1.0),
            keras_sched.layers.Cutout(2, seed=SEED),
            *block(32),
            *block(64),
            layers.MaxPooling2D(),
            *block(128),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def block(filters):
    convolution = layers.Conv2D(filters, 3, padding="same", use_bias=False)
    return convolution, layers.BatchNormalization(momentum=0.9), layers.ReLU()


def find_rate(model, records, path):
    if not path.exists():
        data = tfrecord.load(records, batch_size=BATCH_SIZE, shuffle=True, seed=SEED)
        curve = keras_sched.find_learning_rate(model, data, shuffle=False)
        curve.to_csv(path)
    return keras_sched.LearningRateCurve.from_csv(path)


def train(model, records, rate, directory):
    checkpoint = callbacks.CheckpointEarlyStopping(directory, monitor="val_loss")
    data = tfrecord.load(
        records,
        batch_size=BATCH_SIZE,
        shuffle=True,
        seed=SEED,
        epoch=checkpoint.initial_epoch(),
    )
    history = model.fit(
        data,
        validation_data=tfrecord.load(records, "validation", batch_size=180),
        epochs=EPOCHS,
        shuffle=False,  # The data are shuffled already.
        verbose=0,
        callbacks=[
            callbacks.OneCycle(rate),
            checkpoint,
            keras.callbacks.LambdaCallback(on_epoch_end=print_epoch),
        ],
    )
    return history, checkpoint


def print_epoch(epoch, logs):
    print(
        f"   epoch {epoch + 1:2}: loss {logs['loss']:.3f}, validation loss "
        f"{logs['val_loss']:.3f}, accuracy {logs['val_accuracy']:.1%}, "
        f"rate {logs['learning_rate']:.4f}, momentum {logs['momentum']:.3f}",
        flush=True,
    )


def draw(curve, history, steps, directory):
    rate = curve.suggest()
    drawn = [("learning_rate", curve.plot())]
    axes = plt.subplots(2, sharex=True, layout="constrained")[1]
    cycle = schedules.OneCycle(rate, steps), schedules.OneCycleMomentum(steps)
    for ax, schedule, label in zip(axes, cycle, ("learning rate", "momentum")):
        drawn.append(("one_cycle", plot.schedule(schedule, steps, label=label, ax=ax)))
        ax.label_outer()
    drawn.append(("history", plot.history(history)[0]))
    pictures = {name: directory / f"{name}.png" for name, _ in drawn}
    for name, ax in drawn:
        ax.figure.savefig(pictures[name], dpi=100)
    return list(pictures.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", default="quickstart_run", type=pathlib.Path)
    parser.add_argument("--fresh", action="store_true", help="start over")
    arguments = parser.parse_args()
    directory, checkpoints = arguments.directory, arguments.directory / "checkpoints"
    if arguments.fresh:
        shutil.rmtree(checkpoints, ignore_errors=True)
        (directory / "learning_rate.csv").unlink(missing_ok=True)

    print("1. Images into records", flush=True)
    write_records(directory / "records")
    print("2. Which rate?", flush=True)
    model = build_model()
    curve = find_rate(model, directory / "records", directory / "learning_rate.csv")
    print(textwrap.indent(str(curve), "   "))
    print("3. One cycle of rate and momentum", flush=True)
    history, checkpoint = train(
        model, directory / "records", curve.suggest(), checkpoints
    )
    print("4. Result")
    test = tfrecord.load(directory / "records", "test", batch_size=360)
    accuracy = model.evaluate(test, verbose=0)[1]
    print(f"   test accuracy {accuracy:.1%}, best model {checkpoint.best_path}")
    steps = EPOCHS * STEPS_PER_EPOCH
    for path in draw(curve, history, steps, directory):
        print(f"   picture {path}")
    print("   done; --fresh starts over")


if __name__ == "__main__":
    main()

"""A folder of pictures into records, and a model trained from them.

Draws 2,000 JPEGs of circles, squares, triangles and hexagons, of many sizes, if the
folder is not there; 400 of them are the test. Six epochs told apart 99.8 % of these.

    python examples/folder_to_records.py shapes/ records/
    python examples/folder_to_records.py shapes/ --draw-only
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image, ImageDraw

SHAPES = {"circle": 0, "hexagon": 6, "square": 4, "triangle": 3}
SIZE, BATCH_SIZE = (48, 48), 50


def draw(folder, count):
    chance = np.random.default_rng(0)
    for number in range(count):
        name = list(SHAPES)[number % len(SHAPES)]
        width, height = chance.integers(150, 350, 2).tolist()
        noise = chance.integers(0, 90, (height // 16, width // 16, 3), "uint8")
        picture = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        radius = min(width, height) * chance.uniform(0.25, 0.45)
        place = (width / 2, height / 2, radius)
        colour = tuple(chance.integers(130, 255, 3).tolist())
        if SHAPES[name]:
            turn = chance.uniform(0, 360)
            ImageDraw.Draw(picture).regular_polygon(place, SHAPES[name], turn, colour)
        else:
            ImageDraw.Draw(picture).circle(place[:2], radius, colour)
        place = folder / ("test" if number % 5 == 0 else "train") / name
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{number:05d}.jpg", quality=90)


def build_model():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((*SIZE, 3)), layers.Rescaling(1 / 128, -1.0)])
    for filters in 16, 32, 64, 128:
        model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(len(SHAPES)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("records", type=pathlib.Path, nargs="?", default="records")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--draw-only", action="store_true")
    given = parser.parse_args()
    if not given.pictures.exists():
        draw(given.pictures, given.count)
        print(f"{given.count:,} pictures in {given.pictures}")
    if given.draw_only:
        return

    from keras_sched import callbacks, tfrecord

    tfrecord.convert(given.pictures, given.records, overwrite=True)
    print(tfrecord.inspect(given.records))
    how = dict(batch_size=BATCH_SIZE, image_size=SIZE)
    train = tfrecord.load(given.records, shuffle=True, seed=0, explain=True, **how)
    test = tfrecord.load(given.records, "test", **how)
    model, cycle = build_model(), callbacks.OneCycle(0.01)
    model.fit(train, epochs=given.epochs, callbacks=[cycle], shuffle=False, verbose=2)
    print(f"test accuracy {model.evaluate(test, verbose=0)[1]:.1%}")


if __name__ == "__main__":
    main()

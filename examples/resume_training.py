"""A run that is killed again and again, and ends as if nobody had killed it.

Digits as records, a small convolutional net behind Cutout and MixUp, one cycle of rate
and momentum, an average of the weights: 30 epochs, the state on the disk every 10 steps.
`--kill-randomly 10` runs it once by itself and once as ten processes that are killed, by
SIGKILL, at some moment, and an eleventh that is not; then it compares all weights, slots,
counters and the whole history, to the bit. On two cores, TensorFlow, 78 s:

    1. A run that nobody kills
       3.5 s to start, 13.2 s of training
    2. The same script, killed 10 times
        1: begins; 0 epochs on, killed
        2: goes on with epoch 1 of 30, step 41; 2 epochs on, killed
        3: goes on with epoch 3 of 30; 0 epochs on, killed
        4: goes on with epoch 3 of 30; 4 epochs on, killed
        5: goes on with epoch 7 of 30, step 41; 6 epochs on, killed
        6: goes on with epoch 13 of 30; 3 epochs on, killed
        7: goes on with epoch 16 of 30; 3 epochs on, killed
        8: goes on with epoch 19 of 30, step 21; 5 epochs on, killed
        9: goes on with epoch 24 of 30, step 31; 3 epochs on, killed
       10: goes on with epoch 27 of 30; 0 epochs on, killed
       then: goes on with epoch 27 of 30; best val_loss 0.1109 in epoch 25
    3. Both ends compared
       23 arrays, the history among them, are equal to the bit

    python examples/resume_training.py                     # Ctrl-C, and again: it goes on
    python examples/resume_training.py --kill-randomly 10
"""

import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

EPOCHS, BATCH_SIZE, TEST = 30, 32, 360


def write_records(directory):
    from sklearn.datasets import load_digits

    from keras_sched import tfrecord

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("uint8")
    splits = {
        "train": (images[TEST:], labels[TEST:]),
        "test": (images[:TEST], labels[:TEST]),
    }
    tfrecord.convert(splits, directory, name="digits", overwrite=True, progress=False)


def build_model():
    import keras

    from keras_sched import layers

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(1 / 16),
            layers.Cutout(3, seed=1),
            layers.MixUp(0.2, seed=2),
            keras.layers.Conv2D(16, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def train(folder, every):
    """Trains, or goes on: the script that is run again and again."""
    import keras
    import numpy as np

    from keras_sched import callbacks, tfrecord

    write_records(folder / "records")
    model = build_model()
    checkpoint = callbacks.CheckpointEarlyStopping(
        folder / "checkpoints", save_every=every
    )
    read = dict(batch_size=BATCH_SIZE, shuffle=True, seed=0)
    history = model.fit(
        tfrecord.load(folder / "records", **read, epoch=checkpoint.initial_epoch()),
        validation_data=tfrecord.load(folder / "records", "test", batch_size=TEST),
        epochs=EPOCHS,
        shuffle=False,
        verbose=2,
        callbacks=[
            callbacks.LabelMixing(),
            callbacks.OneCycle(0.05),
            callbacks.WeightAveraging(decay=0.99),
            checkpoint,
        ],
    )
    held = model.variables + model.optimizer.variables
    arrays = [keras.ops.convert_to_numpy(variable) for variable in held]
    arrays += [np.array(history.history[name]) for name in sorted(history.history)]
    np.savez(folder / "end.npz", *arrays)


def process(folder, arguments):
    command = [sys.executable, __file__, "--directory", str(folder), *arguments]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    pipes["env"] = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, **pipes)


def until_it_trains(running):
    """Returns what a process says up to its first epoch, or its end."""
    lines = []
    for line in running.stdout:
        lines.append(line)
        if line.startswith("Epoch"):
            break
    return "".join(lines)


def told(output, what):
    line = next((line for line in output.splitlines() if what in line), ": begins")
    return line.split(": ", 1)[1]


def kill_randomly(times, folder, arguments):
    import numpy as np

    print("1. A run that nobody kills", flush=True)
    begun = time.monotonic()
    straight, killed = folder / "straight", folder / "killed"
    running = process(straight, arguments)
    until_it_trains(running)
    start = time.monotonic() - begun
    running.communicate()
    end = time.monotonic() - begun
    print(f"   {start:.1f} s to start, {end - start:.1f} s of training")
    print(f"2. The same script, killed {times} times")
    for number in range(1, times + 1):
        running = process(killed, arguments)
        seen = until_it_trains(running)
        time.sleep(random.uniform(0, 1.5 * (end - start) / times))
        running.kill()
        output = seen + running.communicate()[0]
        epochs, where = output.count("val_loss:"), told(output, "goes on with")
        print(f"   {number:2}: {where}; {epochs} epochs on, killed", flush=True)
    running = process(killed, arguments)
    output = running.communicate()[0]
    if running.returncode:
        sys.exit(output)
    print(f"   then: {told(output, 'goes on with')}")
    print("3. Both ends compared")
    ends = [np.load(one / "end.npz") for one in (straight, killed)]
    names = ends[0].files
    unlike = [n for n in names if not np.array_equal(ends[0][n], ends[1][n])]
    if unlike:
        sys.exit(f"   {len(unlike)} of {len(names)} arrays differ")
    print(f"   {len(names)} arrays, the history among them, are equal to the bit")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=pathlib.Path, default="resume_training_run")
    parser.add_argument("--kill-randomly", type=int, metavar="TIMES", default=0)
    parser.add_argument("--save-every", type=int, metavar="STEPS", default=10)
    given = parser.parse_args()
    if not given.kill_randomly:
        given.directory.mkdir(parents=True, exist_ok=True)
        train(given.directory, given.save_every)
        return
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        arguments = ["--save-every", str(given.save_every)]
        kill_randomly(given.kill_randomly, folder, arguments)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

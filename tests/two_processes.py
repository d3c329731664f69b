"""One of two processes that train one model: `two_processes.py PORT PLACE FOLDER EPOCHS`.

The records are on both; what they print is the history and a checksum of the weights.
"""

import json
import os
import pathlib
import sys


def main(port, place, folder, epochs):
    os.environ["KERAS_BACKEND"] = "jax"
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(place))
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_sched import callbacks

    devices = keras.distribution.list_devices()
    parallel = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    keras.utils.set_random_seed(0)
    inner = keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2)
    model = keras.Sequential([keras.Input((3,)), *inner, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = np.random.default_rng(int(place)).normal(size=(32, 3)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, x.sum(1, keepdims=True))).batch(8)
    checkpoint = callbacks.CheckpointEarlyStopping(
        pathlib.Path(folder), monitor="loss", save_every=2
    )
    averaging = callbacks.WeightAveraging(decay=0.9)
    listed = [averaging, checkpoint]
    how = dict(epochs=int(epochs), verbose=0, shuffle=False, callbacks=listed)
    history = model.fit(data, **how).history
    weights = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    print(json.dumps([history["loss"], [w.tobytes().hex() for w in weights]]))


if __name__ == "__main__":
    main(*sys.argv[1:])

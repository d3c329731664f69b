"""The generators of chance that live outside a model, as JSON."""

import random

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random import seed_generator


def state():
    """Returns where Python's, NumPy's, Keras's and torch's global generators stand."""
    version, words, gauss = random.getstate()
    name, key, *rest = np.random.get_state()
    found = {
        "python": [version, list(words), gauss],
        "numpy": [name, key.tolist(), *rest],
    }
    keras_own = global_state.get_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR)
    if keras_own is not None:
        found["keras"] = keras.ops.convert_to_numpy(keras_own.state).tolist()
    if keras.backend.backend() == "torch":
        import torch

        found["torch"] = torch.get_rng_state().tolist()
        found["cuda"] = [device.tolist() for device in torch.cuda.get_rng_state_all()]
    return found


def restore(found):
    """Puts the generators back to what `state` returned."""
    if "keras" in found:  # Where it is made anew, it draws from Python's.
        seed_generator.global_seed_generator().state.assign(found["keras"])
    version, words, gauss = found["python"]
    random.setstate((version, tuple(words), gauss))
    name, key, *rest = found["numpy"]
    np.random.set_state((name, np.array(key, "uint32"), *rest))
    if keras.backend.backend() == "torch" and "torch" in found:
        import torch

        torch.set_rng_state(torch.tensor(found["torch"], dtype=torch.uint8))
        if len(found["cuda"]) == torch.cuda.device_count():
            devices = [torch.tensor(d, dtype=torch.uint8) for d in found["cuda"]]
            torch.cuda.set_rng_state_all(devices)

"""The processes that train one model together, and the one of them that writes."""

import keras


def count():
    """Returns how many processes train together."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.process_count()
    if keras.backend.backend() == "torch":
        import torch

        ready = torch.distributed.is_available() and torch.distributed.is_initialized()
        return torch.distributed.get_world_size() if ready else 1
    return 1  # Keras's `fit` does not run in several processes of TensorFlow.


def is_chief():
    """Returns whether this process is the one that writes."""
    if count() == 1:
        return True
    if keras.backend.backend() == "jax":
        import jax

        return jax.process_index() == 0
    import torch

    return torch.distributed.get_rank() == 0


def wait_for_all(place):
    """Returns when all processes have come to this place, a name."""
    if count() == 1:
        return
    if keras.backend.backend() == "jax":
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(place)
    else:
        import torch

        torch.distributed.barrier()

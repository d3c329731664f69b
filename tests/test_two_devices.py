"""Callbacks, finder and layers on two devices; the process is `two_devices.py`."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.every_backend


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras has no devices there"
)
def test_two_devices_train_as_one_does_in_numpy():
    script = pathlib.Path(__file__).with_name("two_devices.py")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    settings = dict(capture_output=True, text=True, env=os.environ | flags)
    done = subprocess.run([sys.executable, str(script)], **settings)
    assert done.stdout.startswith("2 devices"), done.stderr
    weights, losses, changed, alike, off, largest = map(float, done.stdout.split()[2:])
    assert max(weights, losses / 10) < 1e-6
    assert (changed, alike) == (0, 0)
    assert off < 1e-6
    assert 0.6 < largest < 0.9

"""Of two processes that train together one writes, and both resume."""

import json
import pathlib
import socket
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.every_backend
if keras.backend.backend() != "jax":
    pytest.skip("Keras trains in several processes on JAX", allow_module_level=True)


def train(folder, epochs):
    """Returns losses and weights of both, and what they said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = str(pathlib.Path(__file__).parent / "two_processes.py")
    command = [sys.executable, script, str(port)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    both = [
        subprocess.Popen([*command, place, str(folder), str(epochs)], **pipes)
        for place in "01"
    ]
    told = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    return [json.loads(said.splitlines()[-1]) for said, _ in told], told


def test_the_first_writes_and_both_go_on_to_the_same_end(tmp_path):
    (one, other), _ = train(tmp_path / "straight", 3)
    assert one == other
    train(tmp_path / "half", 1)
    ends, told = train(tmp_path / "half", 3)
    assert ends == [one, one]
    assert "goes on with epoch 2 of 3" in told[0][0]
    names = sorted(path.name for path in (tmp_path / "half").iterdir())
    assert names == ["best.keras", "last.keras", "previous.keras"]

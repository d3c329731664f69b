"""A process that is ended anywhere, and run again, ends as the one that was let alone."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.every_backend

# What the run does beside, and where it is ended, one end after another. An epoch has 6
# steps, the run 5 epochs. In each phase of the cycle, in mid-epoch and between epochs.
WAYS = {
    "between epochs": ({}, ["epoch-2-1", "rename-2"]),
    "in the steps": (
        {"save_every": 2, "cycle": {"three_phase": True, "pct_start": 0.4}},
        ["epoch-0-5", "epoch-1-1", "epoch-2-3", "epoch-3-5", "epoch-4-4"],
    ),
    "in a save of a step": ({"save_every": 2}, ["rename-2", "rename-4", "epoch-2-2"]),
    "in validation": (
        {"save_every": 3, "averaging": {"method": "swa", "start_epoch": 1}},
        ["test-1", "termtest-2", "termtest-2"],
    ),
    "by a signal": ({}, ["term-1-2", "termtest-2", "term-3-0", "term-4-5"]),
    "with accumulated gradients and an average": (
        {
            "save_every": 1,
            "optimizer": {"gradient_accumulation_steps": 4},
            "averaging": {"decay": 0.9, "start_epoch": 1},
        },
        ["epoch-1-3", "termtest-1", "term-2-5"],
    ),
}
# Each costs some processes; the first backend goes all ways.
if keras.backend.backend() != "tensorflow":
    WAYS = {way: WAYS[way] for way in ("in the steps", "by a signal")}


def run(folder, *arguments):
    path = pathlib.Path(__file__).parent / "killed_run.py"
    command = [sys.executable, str(path), str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def ends(folder):
    return np.load(folder / "end.npz")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Returns a function that gives the end of a run that nobody ends."""
    known = {}

    def end_of(how):
        if how not in known:
            folder = tmp_path_factory.mktemp("straight")
            code, said = run(folder, how)
            assert code == 0, said
            known[how] = ends(folder)
        return known[how]

    return end_of


@pytest.mark.parametrize("way", WAYS)
def test_it_ends_as_the_straight_run_to_the_bit(tmp_path, straight, way):
    how, ways = json.dumps(WAYS[way][0]), WAYS[way][1]
    for where in ways:
        code, said = run(tmp_path, how, where)
        assert code == (143 if where.startswith("term") else -9), said
    code, said = run(tmp_path, how)
    assert code == 0, said
    assert "goes on with epoch" in said
    plain = {name: v for name, v in WAYS[way][0].items() if name not in ("save_every",)}
    expected, found = straight(json.dumps(plain)), ends(tmp_path)
    assert expected.files == found.files
    for name in expected.files:
        assert np.array_equal(expected[name], found[name]), name
    assert not list((tmp_path / "checkpoints").glob(".*"))

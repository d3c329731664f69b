"""The command as a user runs it: what it prints, leaves on the disk and returns."""

import json
import pathlib
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from keras_sched import tfrecord
from keras_sched.__main__ import main

matplotlib.use("Agg")
ONE = "OneCycle(0.4, total_steps=1000)"


def run(*arguments, **settings):
    command = [sys.executable, "-m", "keras_sched", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **settings)


def test_plot_draws_a_schedule_and_says_where(tmp_path):
    done = run("plot", ONE, "cycle.png", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "cycle.png\n", "")
    assert (tmp_path / "cycle.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1


def test_plot_draws_several_with_a_legend_of_what_was_written(tmp_path):
    picture = tmp_path / "several.svg"
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        assert main(["plot", ONE, "CosineDecay(0.4, 900)", "0.1", str(picture)]) == 0
    text = picture.read_text("utf-8")
    assert all(part in text for part in (ONE, "CosineDecay(0.4, 900)", ">0.1<"))


MISTAKES = [
    (["plot", "OneCycle(0.4)", "x.png"], "missing 1 required positional argument"),
    (["plot", "OneCicle(0.4, 9)", "x.png"], "made of known names"),
    (["plot", "__import__('os').getcwd()", "x.png"], "made of calls and numbers only"),
    (["plot", "OneCycle(-1, 9)", "x.png"], "`max_learning_rate` of OneCycle must be ab"),
    (["plot", ONE, "x.doc"], "`path` of plot.save must be a file ending in"),
    (["plot", ONE, "x.png", "--steps", "0"], "must be an integer of at least 1"),
    (["inspect", "none"], "`directory` of inspect must be a folder"),
    (["verify", "none"], "`directory` of verify must be a folder"),
    (["repair", "."], "`directory` of repair must be a folder that convert wrote"),
]


@pytest.mark.parametrize("arguments, sentence", MISTAKES, ids=[s for _, s in MISTAKES])
def test_a_mistake_is_told_in_one_line_and_leaves_nothing(
    arguments, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("keras-sched: ")
    assert told.err.count("\n") == 1
    assert sentence in told.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["plot"], ["plot", ONE], ["draw", ONE]])
def test_a_command_that_is_none_shows_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: keras-sched")


def damaged(folder):
    """Returns the file of which the last of five records lacks a byte."""
    split = tfrecord.convert({"x": np.arange(5)}, folder, name="d")
    path = folder / split.shards[0].file
    path.write_bytes(path.read_bytes()[:-1])
    return path


def test_verify_and_repair_say_what_is_damaged_and_mend_it(tmp_path):
    path, line = (
        damaged(tmp_path),
        "record 4, byte 156: a record of 39 bytes, of which 38",
    )
    done = run("verify", tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"{path.name}, {line} are there",
        "4 sound records, 194 bytes in 1 file: 1 damage",
    ]
    planned = f"{path.name}: 4 records kept, 1 lost\n"
    dry = "nothing has been changed yet: this was a dry run\n"
    done = run("repair", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, planned + dry, "")
    assert path.stat().st_size == 194
    done = run("repair", tmp_path, "--apply")
    assert (done.returncode, done.stdout, done.stderr) == (0, planned, "")
    done = run("verify", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "4 sound records, 156 bytes in 1 file: nothing is damaged\n"


def test_verify_and_repair_speak_json(tmp_path, capsys):
    path = damaged(tmp_path)
    assert main(["verify", str(tmp_path), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["records"], said["files"], said["bytes"]) == (4, 1, 194)
    (damage,) = said["damages"]
    assert (damage["file"], damage["record"], damage["offset"]) == (path.name, 4, 156)
    assert main(["repair", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mended"] == [{"file": path.name, "records": 5, "kept": 4}]
    assert said["done"] is False


def test_inspect_says_what_is_there(tmp_path, capsys):
    labels = np.array([3, 1, 3])
    tfrecord.convert((np.zeros((3, 2)), labels), tmp_path, name="d")
    done = run("inspect", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "d: records of 77 bytes each",
        "  features: float64 (2,)",
        "  label: int64 ()",
        "train: 3 records, 231 bytes in 1 file",
        "  label 1: 1",
        "  label 3: 2",
    ]
    assert main(["inspect", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["splits"][0]["shards"][0]["records"] == 3
    assert said["labels"] == {"train": {"1": 1, "3": 2}}


def test_verify_loads_neither_keras_nor_tensorflow(tmp_path):
    damaged(tmp_path)
    code = (
        "import sys, runpy; sys.argv = ['keras-sched', 'verify', sys.argv[1]]\n"
        "try: runpy.run_module('keras_sched', run_name='__main__', alter_sys=True)\n"
        "finally: print('loaded', {'keras', 'tensorflow'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "4 sound records" in done.stdout
    assert "loaded set()" in done.stdout


def test_a_folder_that_is_not_there_is_an_error_of_its_own(tmp_path, capsys):
    assert main(["plot", ONE, str(tmp_path / "none" / "x.png")]) == 1
    assert "none" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = (
        "import sys, runpy; sys.argv = ['keras-sched', '--help']\n"
        "try: runpy.run_module('keras_sched', run_name='__main__', alter_sys=True)\n"
        "finally: print('loaded', {'keras', 'numpy', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "usage: keras-sched" in done.stdout
    assert "loaded set()" in done.stdout
    assert "usage: keras-sched" in run("--help").stdout


def test_the_installed_command_is_this_one():
    setup = pathlib.Path(__file__).parent.parent / "setup.py"
    assert "keras-sched = keras_sched.__main__:main" in setup.read_text()


def test_a_program_that_is_not_ours_gets_the_whole_package(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("import keras_sched; print(keras_sched.callbacks.OneCycle)")
    command = [sys.executable, str(script), "-m", "keras_sched"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "keras_sched.callbacks.one_cycle.OneCycle" in done.stdout

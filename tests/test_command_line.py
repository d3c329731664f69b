"""The command as a user runs it: what it prints, leaves on the disk and returns."""

import itertools
import json
import pathlib
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from keras_sched import tfrecord
from keras_sched.__main__ import main
from keras_sched.tfrecord import workers, writer

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
    (["convert", "none", "out"], "`source` of convert must be there, or arrays"),
    (["convert", ".", "out"], "must be a folder of folders with images in them"),
    (["convert", ".", "out", "--shards", "0"], "`shards` of convert must be an integer"),
    (["convert", ".", "out", "--image-format", "tiff"], "`image_format` of convert must"),
    (["convert", ".", "o", "--runner", "direct", "--workers", "2"], "not for --runner"),
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


def pictures(folder):
    """Draws six pictures of two classes, one of them cut off."""
    for number in range(6):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (20 + number, 30, 3))
        Image.fromarray(pixels.astype("uint8")).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    return folder


def test_convert_writes_a_folder_and_says_what_and_how_far(tmp_path):
    source, out = pictures(tmp_path / "pictures"), tmp_path / "out"
    done = run("convert", source, out, "--on-error", "skip", "--shard-bytes", "5kB")
    assert done.returncode == 0
    size = sum(path.stat().st_size for path in out.glob("*-of-00002"))
    assert done.stdout == f"train: 5 records, {size:,} bytes in 2 files\n"
    assert done.stderr.splitlines() == [
        f"train: 6 rows into 2 files in {out}",
        "  file_name: string ()",
        "  image: uint8 (?, ?, ?) as image",
        "  label: int64 (), 2 classes",
        f"1 row left out: see {out / 'out-train.rejects.jsonl'}",
    ]
    (reject,) = map(json.loads, (out / "out-train.rejects.jsonl").open())
    assert reject == {"row": "dog/5.jpg", "reason": "is cut off before its end"}
    assert run("inspect", out).stdout.splitlines() == [
        "out: records of several lengths",
        "  file_name: string ()",
        "  image: uint8 (?, 30, 3) JPEG, 20 to 24 x 30 pixels",
        "  label: int64 () 2 classes",
        f"train: 5 records, {size:,} bytes in 2 files",
        "  label cat: 3",
        "  label dog: 2",
    ]


def test_convert_speaks_json_and_not_of_its_progress_when_it_shall_not(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.arange(4))
    done = run("convert", tmp_path / "x.npz", tmp_path / "out", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert (said["name"], said["shards"][0]["records"]) == ("train", 4)


def test_a_row_that_cannot_be_written_is_an_error_of_the_data(tmp_path, capsys):
    source, out = pictures(tmp_path / "pictures"), tmp_path / "out"
    assert main(["convert", str(source), str(out), "--quiet"]) == 1
    told = capsys.readouterr().err
    assert told == "keras-sched: dog/5.jpg: is cut off before its end\n"


def test_a_conversion_broken_off_says_so_and_the_same_command_goes_on(
    tmp_path, monkeypatch, capsys
):
    source, out = pictures(tmp_path / "pictures"), tmp_path / "out"
    arguments = ["convert", str(source), str(out), "--shards", "3", "--on-error", "skip"]
    real, calls = writer.write_shard, itertools.count()

    def breaks_off(task, tell):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(task, tell)

    with monkeypatch.context() as patched:
        patched.setattr(workers, "write_shard", breaks_off)
        assert main([*arguments, "--workers", "1"]) == 130
    assert "broken off; the same command goes on" in capsys.readouterr().err
    assert main(["verify", str(out)]) == 1
    told = capsys.readouterr().out
    assert "is not finished, 2 of 3 files written: convert goes on with it" in told
    assert main(arguments) == 0
    assert "train: going on, 2 of 3 files there" in capsys.readouterr().err
    assert main(["verify", str(out)]) == 0


def test_convert_by_beam_writes_the_same_files(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.arange(9))
    for name, how in ("local", []), ("beam", ["--runner", "direct"]):
        out = tmp_path / name / "d"
        done = run("convert", tmp_path / "x.npz", out, "--shards", "2", *how)
        assert done.returncode == 0, done.stderr
        assert "train: 9 records, 351 bytes in 2 files" in done.stdout
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "d").iterdir()}
        for name in ("local", "beam")
    )
    assert one == other


def test_what_only_beam_knows_is_refused_without_a_runner(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["convert", ".", "out", "--flink_master=x"])
    assert stopped.value.code == 2
    assert "unrecognized arguments: --flink_master=x" in capsys.readouterr().err


def test_verify_decodes_images_when_it_is_told_to(tmp_path):
    source = pictures(tmp_path / "pictures")
    bad = source / "cat" / "0.jpg"
    content = bytearray(bad.read_bytes())
    middle = content.rindex(b"\xff\xda") + 2
    content[middle : middle + 6] = b"\0" * 6
    bad.write_bytes(content)
    done = run("convert", source, tmp_path / "out", "--on-error", "skip", "--quiet")
    assert "5 records" in done.stdout
    assert run("verify", tmp_path / "out").returncode == 0
    done = run("verify", tmp_path / "out", "--decode")
    assert done.returncode == 1
    first, last = done.stdout.splitlines()
    assert first.startswith("out-train.tfrecord-00000-of-00001, record ")
    assert "cannot be decoded" in first
    assert last.startswith("4 sound records")


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

"""The command as a user runs it: what it prints, leaves on the disk and returns."""

import itertools
import json
import pathlib
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from keras_sched import tfrecord
from keras_sched.__main__ import main
from keras_sched.tfrecord import images, workers, writer

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
        "  label: int64 () 2 classes: cat, dog",
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


def test_convert_says_of_all_splits_in_one_document_and_what_was_left_out(
    tmp_path, capsys
):
    source = tmp_path / "pictures"
    for split in "train", "test":
        pictures(source / split)
    how = ["--json", "--quiet", "--on-error", "skip"]
    assert main(["convert", str(source), str(tmp_path / "out"), *how]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {name: (one["name"], one["left_out"]) for name, one in said.items()} == {
        "train": ("train", 1),
        "test": ("test", 1),
    }
    assert [sum(s["records"] for s in one["shards"]) for one in said.values()] == [5, 5]


def test_rows_that_come_one_by_one_are_not_said_to_go_on(tmp_path, monkeypatch, capsys):
    source = tmp_path / "theirs"
    tfrecord.convert({"x": np.arange(5)}, source, name="d", progress=False)

    def breaks_off(task, tell):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "write_shard", breaks_off)
    assert main(["convert", str(source), str(tmp_path / "out")]) == 130
    told = capsys.readouterr().err
    assert told.endswith("broken off; rows come one by one, so it begins anew\n")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_conversion_broken_off_before_its_first_file_is_whole_is_not_called_sound(
    tmp_path, monkeypatch, capsys, overwrite
):
    np.savez(tmp_path / "x.npz", x=np.arange(4))
    out = tmp_path / "out"
    arguments = ["convert", str(tmp_path / "x.npz"), str(out), "--quiet"]
    if overwrite:
        assert main(arguments) == 0
        arguments.append("--overwrite")

    def breaks_off(task, tell):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(workers, "write_shard", breaks_off)
        assert main(arguments) == 130
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    unfinished = "not finished, 0 of 1 file written"
    assert f"train split: is {unfinished}: convert it again" in capsys.readouterr().out
    assert main(["inspect", str(out)]) == 0
    assert f"train: {unfinished}" in capsys.readouterr().out.splitlines()
    assert main(["repair", str(out)]) == 1
    assert unfinished in capsys.readouterr().err
    assert main(arguments) == 0
    assert main(["verify", str(out)]) == 0


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
    assert "is not finished, 2 of 3 files written: convert it again" in told
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


@pytest.mark.parametrize("option", ["--shrads", "--shard_byte=9", "--on-eror"])
def test_an_option_that_is_nearly_one_of_ours_is_not_left_to_beam(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["convert", ".", "out", "--runner", "direct", option, "3"])
    assert stopped.value.code == 2
    assert f"unrecognized arguments: {option}" in capsys.readouterr().err


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
    assert "cannot be decoded: " in first
    assert "Invalid JPEG data" in first
    assert last.startswith("4 sound records")
    done = run("repair", tmp_path / "out", "--decode", "--apply")
    assert done.returncode == 0
    assert done.stdout.startswith("out-train.tfrecord-00000-of-00001: 4 records kept, 1 ")
    assert run("verify", tmp_path / "out", "--decode").returncode == 0


def test_an_animated_webp_of_an_older_folder_is_told_of_and_kills_nothing(
    tmp_path, monkeypatch
):
    source = pictures(tmp_path / "pictures")
    first, *others = [Image.open(source / "cat" / f"{n}.jpg") for n in (0, 2, 4)]
    others = [one.resize(first.size) for one in others]
    how = dict(save_all=True, append_images=others, lossless=True)
    first.save(source / "cat" / "6.webp", **how)
    monkeypatch.setattr(images, "MOVES", 0)
    how = dict(on_error="skip", workers=1, progress=False)
    tfrecord.convert(source, tmp_path / "out", **how)
    done = run("verify", tmp_path / "out", "--decode")
    assert done.returncode == 1
    assert "cannot be decoded: assertion failed: [an animated WebP]" in done.stdout
    code = (
        "import sys; from keras_sched import tfrecord; list(tfrecord.load(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"record \d, byte \d+: cannot be .*an animated WebP", done.stderr)


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


def test_what_is_wrong_with_the_data_ends_with_1_and_with_the_command_with_2(
    tmp_path, capsys
):
    path = damaged(tmp_path)
    assert main(["inspect", str(tmp_path)]) == 0  # Nothing of it had to be read.
    split = tfrecord.convert({"label": np.arange(3)}, tmp_path / "l", progress=False)
    file = tmp_path / "l" / split.shards[0].file
    file.write_bytes(bytes(99))
    assert main(["inspect", str(tmp_path / "l")]) == 1
    assert f"{file.name}: not as it was written" in capsys.readouterr().out
    path.unlink()
    assert main(["repair", str(tmp_path)]) == 1
    (tmp_path / "metadata.json").write_text("{")
    for command in "inspect", "verify", "repair":
        assert main([command, str(tmp_path)]) == 1
        told = capsys.readouterr().err
        assert told.count("\n") == (2 if command == "inspect" else 1)
        assert "metadata.json is not what convert writes" in told


def test_a_damaged_record_of_another_writer_ends_inspect_with_1(tmp_path, capsys):
    split = tfrecord.convert({"x": np.arange(3)}, tmp_path, progress=False)
    path = tmp_path / split.shards[0].file
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (tmp_path / "metadata.json").unlink()
    assert main(["inspect", str(tmp_path)]) == 1
    assert "the payload does not match its checksum" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path), "--adopt"]) == 1


def test_inspect_prints_the_spec_when_it_is_told_to(tmp_path):
    tfrecord.convert((np.zeros((3, 2)), np.arange(3)), tmp_path, name="d", progress=False)
    done = run("inspect", tmp_path, "--spec")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "{",
        "    'features': tf.io.FixedLenFeature([], tf.string),",
        "    'label': tf.io.FixedLenFeature([], tf.int64),",
        "}",
    ]


def test_a_pipe_that_is_closed_ends_it_silently(tmp_path):
    source = {f"field_{n:04}": np.zeros((1, 2)) for n in range(1500)}
    tfrecord.convert(source, tmp_path, name="d", progress=False)
    command = [sys.executable, "-m", "keras_sched", "inspect", str(tmp_path), "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as process:
        assert process.stdout.readline() == b"{\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_an_index_that_is_lost_is_said_to_be_written_anew(tmp_path, capsys):
    words = {"x": ["a", "bcd", ""]}
    split = tfrecord.convert(words, tmp_path, shards=2, name="d", progress=False)
    names = [f"{shard.file}.idx" for shard in split.shards]
    for name in names:
        (tmp_path / name).unlink()
    lines = [f"{name}: written anew" for name in names]
    assert main(["repair", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == lines
    assert main(["repair", str(tmp_path), "--apply"]) == 0
    assert capsys.readouterr().out.splitlines() == lines
    assert all((tmp_path / name).exists() for name in names)


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

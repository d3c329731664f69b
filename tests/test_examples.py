"""The examples run, and do what they say."""

import pathlib
import re
import subprocess
import sys

import keras
import matplotlib.image
import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def said_by(script, *arguments):
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_and_kill(folder, line, *arguments):
    """Starts the quickstart and kills it, by SIGKILL, when it prints `line`."""
    command = [
        sys.executable,
        str(EXAMPLES / "quickstart.py"),
        "--directory",
        str(folder),
    ]
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with subprocess.Popen([*command, *arguments], **options) as process:
        seen = []
        for printed in process.stdout:
            seen.append(printed)
            if line in printed:
                process.kill()
                break
    return "".join(seen)


def test_the_quickstart_killed_goes_on_and_when_done_says_so(tmp_path):
    folder = tmp_path / "run"
    said = run_and_kill(folder, "epoch  8:")
    assert re.search(r"train: 1,257 records, 153,354 bytes in 1 file", said)
    assert re.search(r"steepest  0\.\d+", said)
    said = said_by("quickstart.py", "--directory", folder)
    assert re.search(r"goes on with epoch (8|9) of 20", said)
    assert "epoch  7:" not in said
    assert float(re.search(r"test accuracy ([\d.]+)%", said)[1]) >= 98
    for name in ("learning_rate", "one_cycle", "history"):
        picture = matplotlib.image.imread(folder / f"{name}.png")
        assert picture.shape[0] >= 400
        assert picture.std() > 0.05
    assert str(folder / "checkpoints" / "best.keras") in said
    said = said_by("quickstart.py", "--directory", folder)
    assert "all epochs done" in said
    assert "epoch 20:" not in said
    assert "--fresh starts over" in said
    assert "epoch  1:" in run_and_kill(folder, "epoch  1:", "--fresh")


def test_mixed_labels_are_compared_in_a_table():
    said = said_by("mix_labels.py", "--epochs", "2", "--seeds", "1")
    rows = re.findall(r"^\| (\w+)\S* \| ([\d.]+)% .* \| ([\d.]+)% ", said, re.MULTILINE)
    assert [name for name, *_ in rows] == ["plain", "Cutout", "MixUp", "CutMix"]
    assert all(float(accuracy) > 30 for _, accuracy, _ in rows)


@pytest.mark.parametrize(
    ("script", "kept"),
    [
        ("schedules_gallery.py", "schedules.png"),
        ("augmentation_gallery.py", "augmentations.png"),
    ],
)
def test_the_galleries_draw_the_pictures_of_the_readme(script, kept, tmp_path):
    picture = tmp_path / "all.png"
    said_by(script, "--picture", picture)
    height, width, _ = matplotlib.image.imread(picture).shape
    there = matplotlib.image.imread(EXAMPLES / kept).shape
    assert (height, width) == there[:2], f"examples/{kept} is not up to date"


def test_a_run_killed_at_random_ends_as_the_one_that_was_not():
    said = said_by("resume_training.py", "--kill-randomly", "2")
    assert said.count("epochs on, killed") == 2
    assert "arrays, the history among them, are equal to the bit" in said


@pytest.mark.every_backend
def test_cifar10_is_trained_and_run_again_trains_no_more(tmp_path):
    folder = ["--smoke", "--seeds", "2", "--directory", str(tmp_path)]
    presets = (
        ("fast", "cutout24") if keras.backend.backend() == "tensorflow" else ("fast",)
    )
    for preset in presets:
        first, again = (said_by("cifar10.py", *folder, "--preset", preset) for _ in "ab")
        for said, epochs in ((first, 4), (again, 0)):
            assert said.count("Epoch ") == epochs
            assert said.count("all epochs done") == 2
        each = r"seed \d: test accuracy ([\d.]+)%"
        ends = [re.findall(each, said) for said in (first, again)]
        assert ends[0] == ends[1]
        mean = np.mean([float(value) for value in ends[0]])
        both = r"test accuracy ([\d.]+)% ± [\d.]+%, by one view [\d.]+% ± [\d.]+%$"
        found = re.search(f"{preset}, 2 runs: {both}", first, re.MULTILINE)[1]
        assert float(found) == pytest.approx(mean, abs=0.01)


@pytest.mark.every_backend
def test_two_devices_end_with_the_weights_of_one(tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras has no devices to share a model by on torch")
    short = ["--epochs", "3", "--directory", str(tmp_path / "run")]
    said = said_by("many_devices.py", *short)
    assert re.search(r"devices: cpu:0, cpu:1", said, re.IGNORECASE)
    assert float(re.search(r"differ by (\S+) at most", said)[1]) < 1e-4
    assert float(re.findall(r"accuracy ([\d.]+)%", said)[1]) > 80


def test_what_is_known_helps_with_what_is_new():
    said = said_by("transfer.py", "--seeds", "1", "--epochs", "5")
    head, _, scratch = map(float, re.findall(r"([\d.]+)% ±", said))
    assert head > scratch


def test_the_recipe_gives_a_verdict_and_a_picture_for_each_step(tmp_path):
    short = ["--trials", "2", "--epochs", "2", "--directory", str(tmp_path)]
    said = said_by("recipe.py", *short)
    assert re.findall(r"^(\d)\. ", said, re.MULTILINE) == list("1234567")
    assert said.count("as it should be") == 2
    assert float(re.search(r"test accuracy ([\d.]+)%", said)[1]) > 80
    pictures = sorted(tmp_path.glob("*.png"))
    assert [path.name[0] for path in pictures] == list("1234567")
    assert all(matplotlib.image.imread(path).std() > 0.05 for path in pictures)


def test_the_suggested_rate_is_told_beside_those_of_a_grid(tmp_path):
    picture = tmp_path / "picture.png"
    short = ["--epochs", "2", "--seeds", "1", "--grid", "3", "--picture", str(picture)]
    said = said_by("find_then_cycle.py", *short)
    assert len(re.findall(r"^ +\S+ +[\d.]+% ±", said, re.MULTILINE)) == 4
    assert "suggested" in said
    assert matplotlib.image.imread(picture).std() > 0.05


def test_schedules_are_compared_in_a_table_and_a_picture(tmp_path):
    picture = tmp_path / "picture.png"
    short = ["--smoke", "--seeds", "2", "--directory", str(tmp_path)]
    said = said_by("compare_schedules.py", *short, "--picture", str(picture))
    rows = re.findall(r"^\| ([\w() -]+) \| [\d.]+% ± [\d.]+% \|$", said, re.MULTILINE)
    assert len(rows) == 7
    assert rows[0] == "constant"
    assert rows[-1] == "one cycle"
    assert sorted(re.findall(r"^([\w() -]+): better", said, re.MULTILINE)) == sorted(rows)
    assert matplotlib.image.imread(picture).std() > 0.05

"""What is public is annotated, and mypy sees by it what is wrong in a program."""

import dataclasses
import inspect
import pathlib
import re
import subprocess
import sys
import typing

import matplotlib.axes
import pytest
import tensorflow as tf

import keras_sched
from keras_sched import (
    _types,
    callbacks,
    hyperparameters,
    layers,
    learning_rate_finder,
    plot,
    schedules,
    tfrecord,
)
from keras_sched.callbacks import one_cycle
from keras_sched.tfrecord import beam, images

ROOT = pathlib.Path(__file__).parent.parent
LAZY = {"tf": tf, "Axes": matplotlib.axes.Axes}  # Loaded by those who check types only.
OFFERED = [
    getattr(module, name)
    for module in (keras_sched, callbacks, layers, plot, schedules, tfrecord)
    for name in module.__all__
]
OFFERED += [hyperparameters.ScheduledHyperparameters, beam.ConvertToTFRecord, beam.run]


def hooks(cls):
    """The names that a class has from its bases, which say what there is to say."""
    return {name for base in cls.__mro__[1:] for name in vars(base)}


def own(cls):
    """The constructor, public methods and properties that a class brings itself."""
    constructor = {"__init__"} if "__init__" in vars(cls) else set()
    public = {name for name in vars(cls) if not name.startswith("_")}
    for name in sorted((public - hooks(cls)) | constructor):
        member = inspect.unwrap(getattr(vars(cls)[name], "__func__", vars(cls)[name]))
        member = member.fget if isinstance(member, property) else member
        if inspect.isfunction(member):
            yield f"{cls.__name__}.{name}", member


def functions():
    """All that has to be annotated, by its name: what is offered, and bases of that."""
    found = {}
    for each in filter(callable, OFFERED):
        ours = [c for c in getattr(each, "__mro__", ()) if "keras_sched" in c.__module__]
        found |= {name: function for cls in ours for name, function in own(cls)}
        if inspect.isfunction(each):
            found[f"{each.__module__}.{each.__name__}"] = each
    return found


FUNCTIONS = functions()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_annotated(name):
    signature = inspect.signature(FUNCTIONS[name])
    named = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    bare = [p.name for p in named if p.annotation is p.empty]
    returns = signature.return_annotation is not signature.empty
    assert not bare
    assert returns or name.endswith("__init__")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_it_is_annotated_with_can_be_told(name):
    hints = typing.get_type_hints(FUNCTIONS[name], localns=LAZY)
    assert not any(isinstance(hint, str) for hint in hints.values())


def test_the_public_classes_and_functions_are_found():
    names = {"Augmentation.augment", "CheckpointEarlyStopping.best", "Split.records"}
    names |= {"Schedule.value", "keras_sched.tfrecord.reader.load", "Verification.sound"}
    assert names <= set(FUNCTIONS)


def test_choices_that_have_a_table_are_those_of_the_hints():
    tables = {
        _types.Recipe: one_cycle.RECIPES,
        learning_rate_finder.Method: learning_rate_finder.METHODS,
        _types.ImageFormat: ("keep", "raw", *images.FORMATS),
    }
    assert all(typing.get_args(hint) == tuple(table) for hint, table in tables.items())


RIGHT = """\
import keras
import numpy as np

from keras_sched import callbacks, ensemble, find_learning_rate, layers, plot
from keras_sched import schedule_hyperparameters, schedules, tfrecord

x, y = np.ones((8, 4, 4, 1)), np.ones(8)
tfrecord.convert({"x": x, "y": y}, "records", image_format="png", shards=2)
data = tfrecord.load("records", batch_size=4, shuffle=True, shard=(0, 2))
damages: list[str] = [damage.what for damage in tfrecord.verify("records").damages]
lengths: int | None = tfrecord.inspect("records").stride

holes = [layers.Cutout(2, probability=schedules.LinearDecay(1.0, 9)), layers.MixUp()]
data = layers.augment(data, holes, seed=1)
model = keras.Sequential([*holes, keras.layers.Dense(2)])
model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")

curve = find_learning_rate(model, x, y, steps=50, verbose=0)
rate = curve.suggest() or 0.1
decays = find_learning_rate(model, data, weight_decays=[0.0, 1e-4])
plot.learning_rate_curve(decays[1e-4]).set_title(curve.stop_reason)

warm = schedules.Warmup(schedules.CosineAnnealing(rate, 90, cycles=3), warmup_steps=10)
steps: int = schedules.in_epochs(warm, 391).warmup_steps
stock = keras.optimizers.schedules.CosineDecay(0.1, 90)
both = schedules.Join([warm, stock, 0.1], [100, 190])
points = schedules.Piecewise([(0, 0.1), (9, 0.0)], interpolation="cosine")
large: float = 2 * schedules.linear_scaling(0.1, 1024)
last: float = schedules.values(both, steps)[-1].item()
plot.save(plot.schedule([both, points, stock], 200), "rates.png")

checkpoint = callbacks.CheckpointEarlyStopping("run", patience=3, save_every="epoch")
driven = [
    callbacks.OneCycle(rate, recipe="fastai", anneal="cosine"),
    callbacks.HyperparameterScheduler(weight_decay=schedules.Scaled(stock, 0.1)),
    checkpoint,
]
model.fit(x, y, callbacks=driven, initial_epoch=checkpoint.initial_epoch())
best: float | None = checkpoint.best
ensemble([checkpoint.best_path, "other.keras"], weights=[1, 2]).predict(x)
with schedule_hyperparameters(model.optimizer, momentum=lambda step: 0.9):
    pass
"""
WRONG = {
    'schedules.OneCycle("0.4", 900)': 'type "str"; expected "float"',
    "schedules.OneCycle(0.4, total_step=900)": 'did you mean "total_steps"',
    'schedules.Warmup("0.4", 90)': 'expected "float | ',
    'callbacks.OneCycle("0.4")': 'type "str"; expected "float"',
    "callbacks.OneCycle(0.4, total_step=900)": 'did you mean "total_steps"',
    'callbacks.OneCycle(0.4, recipe="pytroch")': "expected \"Literal['pytorch', ",
    "callbacks.CheckpointEarlyStopping(1)": 'type "int"; expected "str | ',
    "callbacks.HyperparameterScheduler(rho=[0.9])": 'expected "float | ',
    'layers.Cutout("16")': 'type "str"; expected "int | ',
    "layers.CutMix(probability=(0, 1, 2))": 'expected "float | tuple',
    "find_learning_rate(None, 1, step=3)": 'did you mean "steps"',
    'tfrecord.load("records", batch_size="4")': 'expected "int | None"',
    'tfrecord.convert({}, "records", image_format="tiff")': "expected \"Literal['keep', ",
    'tfrecord.verify("records").damage': 'has no attribute "damage"',
}


@dataclasses.dataclass
class Mypy:
    """Runs on the package and on programs, as a user has it."""

    folder: pathlib.Path

    def says(self, *what):
        command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml"]
        command += ["--cache-dir", str(self.folder), *map(str, what)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert not done.stderr
        return done.stdout

    def says_of(self, program):
        (self.folder / "program.py").write_text(program)
        return self.says(self.folder / "program.py")


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    return Mypy(tmp_path_factory.mktemp("mypy"))


def test_mypy_finds_nothing_in_the_package(mypy):
    assert mypy.says("keras_sched").startswith("Success")


def test_mypy_finds_nothing_in_a_program_that_is_right(mypy):
    assert mypy.says_of(RIGHT).startswith("Success")


def test_mypy_finds_every_line_of_a_program_that_is_wrong(mypy):
    names = "callbacks, find_learning_rate, layers, schedules, tfrecord"
    told = mypy.says_of("\n".join([f"from keras_sched import {names}", *WRONG]))
    for line, (code, why) in enumerate(WRONG.items(), 2):
        assert re.search(rf"program.py:{line}: error: .*{re.escape(why)}", told), code

"""The structure of the project, held as a table and read from the source."""

import ast
import pathlib
import re
import subprocess
import sys

import keras
import pytest

import keras_sched

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "keras_sched"
SOURCES = sorted(PACKAGE.rglob("*.py"))

FOUNDATION = {"_atomic", "_checks", "_draws", "_ops", "_passes", "_random", "_types"}
MAY_IMPORT = {
    "_atomic": set(),
    "_checks": set(),
    "_chance": {"_checks", "_draws", "_ops"},
    "_draws": {"_ops"},
    "_mixing": {"_checks", "_fit_loop", "_ops"},
    "_checkpoints": {"_atomic", "_checks"},
    "_lock": set(),
    "_monitor": {"_checks", "_fit_loop", "_running_fit"},
    "_ops": set(),
    "_passes": set(),
    "_random": set(),
    "_fit_loop": set(),
    "_progress": set(),
    "_run_folder": {"_atomic", "_checkpoints", "_checks", "_progress"},
    "_processes": set(),
    "_run_state": {"_fit_loop", "_processes", "_random"},
    "_running_fit": {"_checks"},
    "_running_statistics": {"_fit_loop"},
    "_signals": set(),
    "_types": set(),
    "schedules": FOUNDATION,
    "_driver": {"_draws"},
    "ensembling": {"_checks", "_random", "_types"},
    "hyperparameters": FOUNDATION | {"_driver"},
    "layers": FOUNDATION | {"_chance", "_mixing"},
    "tfrecord": FOUNDATION,
    "plot": {"_atomic", "_checks", "_types", "schedules"},
    "__main__": {"plot", "schedules", "tfrecord"},
    "learning_rate_finder": FOUNDATION
    | {"_fit_loop", "_mixing", "hyperparameters", "plot"},
    "callbacks": FOUNDATION
    | {"_fit_loop", "_mixing", "_monitor", "_running_fit", "hyperparameters"}
    | {
        "_checkpoints",
        "_lock",
        "_processes",
        "_progress",
        "_run_folder",
        "_run_state",
        "_signals",
    }
    | {"_running_statistics"}
    | {"ensembling", "learning_rate_finder", "schedules"},
    "__init__": {
        "callbacks",
        "ensembling",
        "hyperparameters",
        "layers",
        "learning_rate_finder",
        "plot",
        "schedules",
        "tfrecord",
    },
}
ONLY_IN = {  # Where each of these packages may be imported.
    "apache_beam": {"tfrecord"},
    "datasets": {"tfrecord"},
    "google_crc32c": {"tfrecord"},
    "matplotlib": {"plot"},
    "PIL": {"tfrecord"},
    "pyarrow": {"tfrecord"},
    "jax": {"_draws", "_processes"},
    "tensorflow": {"__main__", "_chance", "_draws", "_passes", "layers", "tfrecord"},
    "torch": {"_draws", "_driver", "_processes", "_random"},
    "zipfile": {"_checkpoints"},
}
PRIVATE_KERAS = {
    "_driver",
    "_fit_loop",
    "_ops",
    "_random",
    "_running_fit",
    "hyperparameters",
}


def part(path):
    """The part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Every module that a file imports, with its names where they may be modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path):
    inner = [name.split(".") for name in imports(path)]
    return {names[1] for names in inner if names[0] == "keras_sched"} - {part(path)}


def test_every_part_has_a_row():
    assert {part(path) for path in SOURCES} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    assert ours(path) <= MAY_IMPORT[part(path)]


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_package_is_imported_in_its_own_place_only(package):
    users = {part(p) for p in SOURCES if package in {n.split(".")[0] for n in imports(p)}}
    assert users == ONLY_IN[package]


def test_private_names_of_keras_are_in_few_places_only():
    private = re.compile(r"keras\.src|(optimizer|inner|model)\)?\._[a-z]")
    users = {part(path) for path in SOURCES if private.search(path.read_text())}
    assert users == PRIVATE_KERAS


def test_only_atomic_writes_files():
    writes = re.compile(r"write_text\(|write_bytes\(|os\.replace|savefig|\"w[bt]?\"")
    users = {part(path) for path in SOURCES if writes.search(path.read_text())}
    assert users <= {"_atomic", "learning_rate_finder", "plot", "tfrecord"}
    for path in SOURCES:
        if part(path) != "_atomic" and writes.search(path.read_text()):
            assert "_atomic." in path.read_text(), path


def test_importing_loads_nothing_heavy_that_keras_does_not():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_sched; "
        "print(*sys.modules.keys() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "keras_sched" in loaded, done.stderr
    assert not loaded & {"matplotlib", "apache_beam", "sklearn", "tensorflow_datasets"}


MODULES = [
    keras_sched,
    keras_sched.callbacks,
    keras_sched.layers,
    keras_sched.schedules,
    keras_sched.tfrecord,
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_is_what_the_module_offers(module):
    tree = ast.parse(pathlib.Path(module.__file__).read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    offered = {alias.asname or alias.name for node in nodes for alias in node.names}
    assert set(module.__all__) == offered
    assert module.__all__ == sorted(module.__all__)


@pytest.mark.parametrize("folder", ["callbacks", "layers", "schedules"])
def test_every_class_with_a_file_is_offered(folder):
    offered = getattr(keras_sched, folder).__all__
    for path in (PACKAGE / folder).glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not path.stem.endswith("base"):
                assert node.name.startswith("_") or node.name in offered, path


def public_classes():
    for module in MODULES[1:]:
        for name in module.__all__:
            yield f"{module.__name__.split('.')[1]}.{name}"
    yield from (f"plot.{name}" for name in keras_sched.plot.__all__)
    yield from (name for name in keras_sched.__all__ if name[0].isupper() or "_" in name)


@pytest.mark.parametrize("name", public_classes())
def test_the_readme_names_every_public_name(name):
    assert f"`{name}" in (ROOT / "README.md").read_text()


def test_the_picture_of_all_schedules_and_the_changelog_leave_none_out():
    readme = (ROOT / "README.md").read_text()
    table = readme.split("## Which schedule?")[1].split("\n## ")[0]
    changes = (ROOT / "CHANGELOG.md").read_text()
    for name in set(keras_sched.schedules.__all__) - {"Schedule", "parse", "values"}:
        assert re.search(rf"`.*\b{name}\(.*`", table), name
        assert f"`{name}`" in changes or f"`schedules.{name}`" in changes, name


@pytest.mark.parametrize("folder", ["callbacks", "layers", "schedules"])
def test_a_file_holds_one_public_class_and_has_its_name(folder):
    for path in (PACKAGE / folder).glob("*.py"):
        classes = [
            node.name
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        ]
        words = [re.sub("(?<!^)(?=[A-Z])", "_", name).lower() for name in classes]
        assert words in ([], [path.stem]) or path.stem.endswith("base")


def test_ci_runs_the_test_command_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"```bash\n(python3 -m venv .*pytest.*)\n```", readme)[1]
    assert command in (ROOT / ".ci" / "run").read_text()


def test_the_fifteen_lines_of_the_readme_run(tmp_path, monkeypatch):
    readme = (ROOT / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    names = {}
    keras.utils.set_random_seed(0)
    exec(compile(code, "README.md", "exec"), names)
    assert names["model"].evaluate(*names["digits"], verbose=0)[1] > 0.87


def test_the_schedule_that_contributing_shows_works():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    names = {}
    exec(re.search(r"```python\n(.*?)```", guide, re.DOTALL)[1], names)
    halving = names["Halving"](0.8, every_steps=2)
    assert keras_sched.schedules.values(halving, 5) == pytest.approx(
        [0.8, 0.8, 0.4, 0.4, 0.2]
    )
    assert keras_sched.schedules.in_epochs(halving, 10).every_steps == 20

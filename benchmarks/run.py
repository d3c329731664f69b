"""All budgets of DESIGN, one script after another; writes BENCHMARKS.md.

Each script compares ours with its peers in one run and says whether a budget is missed;
one that says so is run again, as among so many figures chance misses one now and then,
and both runs are told; it counts as missed. Those of backends that are not installed are
left out. `--short` is a few rounds of each, once, and takes a budget for missed where it
is missed by far: it tells a collapse, on any machine, from noise. It writes nothing.

    python benchmarks/run.py
    python benchmarks/run.py --short
"""

import argparse
import dataclasses
import datetime
import functools
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = (
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "array_record",
    "albumentations",
)


@dataclasses.dataclass
class Benchmark:
    """A script, and with what it is called.

    Attributes:
        title: What it measures.
        backend: Keras's.
        script: Its path below the project's folder.
        full: Arguments, as one text.
        short: Those of a short run; `None` where there is none.
    """

    title: str
    backend: str
    script: str
    full: str = ""
    short: str | None = None

    def command(self, short=False):
        """Returns what a user would type."""
        arguments = self.short if short else self.full
        return f"KERAS_BACKEND={self.backend} python {self.script} {arguments}".strip()

    def run(self, short, show):
        """Returns whether it is within its budgets, what it said, and the seconds.

        Args:
            short: Whether to run it in short.
            show: Function that is given each line as it comes.
        """
        arguments = self.short if short else self.full
        command = [sys.executable, str(ROOT / self.script), *arguments.split()]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TQDM_DISABLE": "1"}
        own = os.environ | quiet | {"KERAS_BACKEND": self.backend}
        begun, lines = time.perf_counter(), []
        with tempfile.TemporaryFile("w+") as errors:
            pipes = dict(stdout=subprocess.PIPE, stderr=errors, text=True)
            with subprocess.Popen(command, env=own, cwd=ROOT, **pipes) as process:
                for line in process.stdout:
                    lines.append(line.rstrip())
                    show(lines[-1])
            errors.seek(0)
            if process.returncode:  # Its last words are what `sys.exit` was given.
                lines += errors.read().splitlines()[-1:] or [f"exit {process.returncode}"]
                show(lines[-1])
        return process.returncode == 0, lines, time.perf_counter() - begun


STEP, FINDER = "benchmarks/step_overhead.py", "benchmarks/finder_cost.py"
LAYERS, RECORDS = "benchmarks/layers.py", "benchmarks/records.py"
SUITE = [
    Benchmark("Schedules in the step", "jax", STEP, "--rounds 200"),
    Benchmark("The same, 20 layers", "jax", STEP, "--depth 20 --rounds 100"),
    Benchmark(
        "Schedules in the step",
        "tensorflow",
        STEP,
        "--rounds 60",
        "--rounds 6 --only OneCycle --slack 1.5",
    ),
    Benchmark("The finder", "jax", FINDER, "--rounds 200"),
    Benchmark("The finder", "tensorflow", FINDER, "--rounds 100", "--rounds 6 --slack 2"),
    Benchmark("Augmentation", "jax", LAYERS, "--rounds 100"),
    Benchmark(
        "Augmentation",
        "tensorflow",
        LAYERS,
        "--rounds 100",
        "--rounds 6 --slack 2 --only graph",
    ),
    Benchmark("Records", "tensorflow", RECORDS, "", "--rounds 6 --slack 2 --only PNG"),
    Benchmark(
        "A checkpoint",
        "tensorflow",
        "benchmarks/checkpoint_cost.py",
        "",
        "--rounds 8 --slack 2",
    ),
    Benchmark("Runs that are killed", "torch", "tests/crash/table.py", "--only ours"),
]


def page(results):
    """Returns BENCHMARKS.md.

    Args:
        results: List of a `Benchmark` and a list of what its `run` returned each time.
    """
    versions = []
    for name in PACKAGES:
        if importlib.util.find_spec(name):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    lines = [
        "# Benchmarks",
        "",
        "Written by `python benchmarks/run.py`, each script beside its peers in one run; "
        "medians, and where they lie with a confidence of 95 %. What misses a budget is "
        "run again.",
        "",
        f"{datetime.date.today()}, {machine()}; Python {platform.python_version()}, "
        f"{', '.join(versions)}.",
        "",
        "| what | backend | budgets | minutes |",
        "|---|---|---|---|",
    ]
    for one, runs in results:
        verdicts = ["met" if within else said[-1] for within, said, _ in runs]
        verdict = "; then ".join(dict.fromkeys(verdicts))
        minutes = sum(seconds for *_, seconds in runs) / 60
        lines.append(f"| {one.title} | {one.backend} | {verdict} | {minutes:.1f} |")
    for one, runs in results:
        lines += ["", f"## {one.title}, {one.backend}", "", "```"]
        for _, said, _ in runs:
            lines += [f"$ {one.command()}", *said]
        lines.append("```")
    return "\n".join([*lines, ""])


def machine():
    """Returns what the machine is, in words."""
    kind = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            kind = line.split(":")[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {kind}, {memory:.0f} GiB, {platform.system()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="only tell collapses")
    parser.add_argument("--only", default="", help="what has this in its command")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "BENCHMARKS.md")
    given, results = parser.parse_args(), []
    show = functools.partial(print, "  ", flush=True)
    for one in SUITE:
        there = importlib.util.find_spec(one.backend) and given.only in one.command()
        if there and (one.short is not None or not given.short):
            print(f"{one.title}: {one.command(given.short)}", flush=True)
            runs = [one.run(given.short, show)]
            if not (runs[0][0] or given.short):
                runs.append(one.run(given.short, show))
            results.append((one, runs))
            if not given.short and not given.only:
                given.output.write_text(page(results), "utf-8")
    missed = [one.command(given.short) for one, runs in results if not runs[0][0]]
    sys.exit("budgets missed: " + "; ".join(missed) if missed else 0)


if __name__ == "__main__":
    main()

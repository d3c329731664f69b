"""What runs the benchmarks: what it makes of budgets met, missed, missed once."""

import pathlib
import re
import subprocess
import sys
import textwrap

BENCHMARKS = pathlib.Path(__file__).parent.parent / "benchmarks"
SCRIPT = """
import argparse, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("--slack", type=float, default=1)
print("ratio 1.5 on", os.environ["KERAS_BACKEND"], flush=True)
sys.stderr.write("noise of TensorFlow" * 9999)
sys.exit("\\npast 1.2: it" if 1.5 > 1.2 * parser.parse_args().slack else 0)
"""


ONCE = """
import pathlib, sys
before = pathlib.Path(__file__).with_name("before")
print("turn", 2 if before.exists() else 1, flush=True)
if not before.exists():
    before.touch()
    sys.exit("past 1.2: it")
"""


def run(folder, *arguments, script=SCRIPT):
    """Runs a suite of one script, and of one on a backend that is not there."""
    (folder / "slow.py").write_text(script)
    program = f"""
        import sys
        sys.path.insert(0, {str(BENCHMARKS)!r})
        import run
        script = {str(folder / "slow.py")!r}
        one = run.Benchmark("It", "tensorflow", script, "", "--slack 2")
        run.SUITE = [one, run.Benchmark("Other", "no_backend", "nothing.py", "", "")]
        run.main()
    """
    page = folder / "page.md"
    command = [sys.executable, "-c", textwrap.dedent(program), "--output", str(page)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    return done, page.read_text() if page.exists() else None


def test_a_budget_that_is_missed_is_written_and_ends_in_one(tmp_path):
    done, page = run(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("budgets missed: KERAS_BACKEND=tensorflow python")
    assert "| It | tensorflow | past 1.2: it | 0.0 |" in page
    assert "ratio 1.5 on tensorflow\npast 1.2: it\n```" in page
    assert page.count("ratio 1.5 on tensorflow\npast 1.2: it\n") == 2
    assert "no_backend" not in page


def test_a_budget_that_is_missed_once_is_missed_and_both_runs_are_told(tmp_path):
    done, page = run(tmp_path, script=ONCE)
    assert done.returncode == 1
    assert "| It | tensorflow | past 1.2: it; then met | 0.0 |" in page
    told = re.findall("^turn .|^past .*", page, re.MULTILINE)
    assert told == ["turn 1", "past 1.2: it", "turn 2"]


def test_a_short_run_tells_a_collapse_alone_and_writes_nothing(tmp_path):
    done, page = run(tmp_path, "--short")
    assert done.returncode == 0, done.stderr
    assert "ratio 1.5 on tensorflow" in done.stdout
    assert page is None

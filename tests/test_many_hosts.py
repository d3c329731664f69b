"""The example of two workers runs, and they see each record once an epoch."""

import os
import pathlib
import re
import signal
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parent.parent / "examples" / "many_hosts.py"


def test_two_workers_train_one_model_and_see_each_record_once_an_epoch(tmp_path):
    command = [sys.executable, str(SCRIPT), "--directory", str(tmp_path)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            said, errors = process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # The workers too.
            raise
    assert process.returncode == 0, errors
    assert sorted(re.findall(r"worker (.*) an epoch", said)) == [
        "0 of 2: 719 records in 23 steps",
        "1 of 2: 718 records in 23 steps",
    ]
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", said)]
    assert losses == sorted(losses, reverse=True)
    assert float(re.search(r"test accuracy ([\d.]+)%", said)[1]) > 90
    assert "1,437 records, seen {4} times each" in said

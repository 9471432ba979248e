"""kill -9 in the middle of a group, then the same command with --resume, as a user would."""

import signal
import subprocess
import sys

import numpy as np

from cl_sparse.results import find_results, load_result
from tests.commands import ROOT, run

COMMAND = ["--name", "quickstart_sparse", "--seeds", "2", "--threads", "1", "--resume"]


def test_a_killed_command_resumes_to_the_same_matrices(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    words = [sys.executable, "-u", str(ROOT / "run_exps.py"), *COMMAND]
    with subprocess.Popen(words, cwd=killed, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "seed 1  task 2/5" in line:
                process.send_signal(signal.SIGKILL)
                break
    assert len(find_results(killed / "results")) == 1

    resumed = run(killed, *COMMAND)
    assert resumed.returncode == 0, resumed.stderr
    assert "quickstart_sparse seed 0: finished earlier" in resumed.stdout
    assert "quickstart_sparse seed 1: 2 tasks are done, going on" in resumed.stdout
    assert run(whole, *COMMAND).returncode == 0
    for got, expected in zip(find_results(killed / "results"), find_results(whole / "results"), strict=True):
        np.testing.assert_array_equal(load_result(got)[1]["accs"], load_result(expected)[1]["accs"])

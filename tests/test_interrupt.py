"""Ctrl-C, at any moment and twice: one line, exit code 130, no traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cl_sparse import start
from cl_sparse.run.one_run import Run
from tests.commands import ROOT, forked

# The imports of the program, with Ctrl-C in the middle of them.
IMPORTING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job, as tests may be, ignores it
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from cl_sparse.start import main
sys.exit(main(["run", "--name", "quickstart_dense", "--seed", "0"]))
"""


@pytest.mark.parametrize("module", ["pydantic", "cl_sparse.run.plan", "torch", "torch.nn", "numpy.linalg", "rich"])
def test_during_imports(tmp_path, module):
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{IMPORTING}", module]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def run_interrupted(folder: Path, times: int) -> int:
    """Run the program in this process, with Ctrl-C in the middle of a task, and again while it ends."""

    def interrupted(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            for _ in range(times - 1):
                os.kill(os.getpid(), signal.SIGINT)

    Run._train = interrupted
    os.chdir(folder)
    os.dup2(os.open("stderr", os.O_CREAT | os.O_WRONLY), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return start.main(["run", "--name", "quickstart_dense", "--seed", "0", "--quiet"])


@pytest.mark.parametrize("times", [1, 2, 3])
def test_during_a_run(tmp_path, times):
    assert forked(run_interrupted, tmp_path, times) == 130
    assert (tmp_path / "stderr").read_text() == "interrupted\n"
    left = [path.name for path in (tmp_path / "results").rglob("*")]
    assert left == ["checkpoints"] or (times > 1 and len(left) == 2)  # the lock of what was ended at once


def test_a_background_job_that_ignores_it_goes_on(tmp_path):
    words = [sys.executable, str(ROOT / "run_exps.py"), "--list"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    ) as job:
        for _ in range(10):
            time.sleep(0.02)
            os.kill(job.pid, signal.SIGINT)
        assert b"quickstart" in job.stdout.read()
    assert job.returncode == 0

"""The command line in a process of its own, and a disk that is full."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Not forked from the tests' own process: torch's autograd does not survive a fork.
FRESH = multiprocessing.get_context("forkserver")  # conftest has started its server


def run(
    folder: Path, *argv: str, command: Sequence[str] = (str(ROOT / "run_exps.py"),)
) -> subprocess.CompletedProcess[str]:
    """Run the command line in ``folder``."""
    words = [sys.executable, *command, *argv]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def refusal(folder: Path, *argv: str, command: Sequence[str] = (str(ROOT / "run_exps.py"),)) -> str:
    """Run the command line in ``folder``; return its one line on stderr, having checked all else a refusal must be."""
    before = sorted(folder.rglob("*"))
    done = run(folder, *argv, command=command)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert sorted(folder.rglob("*")) == before
    return done.stderr.removeprefix("error: ").rstrip("\n")


def forked(function: Callable[..., int], *arguments: object) -> int:
    """Call a function in a process of its own, forked from one that has done the imports; return its exit code."""
    process = FRESH.Process(target=_call, args=(function, *arguments))
    process.start()
    process.join()
    return process.exitcode


def _call(function: Callable[..., int], *arguments: object) -> None:
    signal.pthread_sigmask(
        signal.SIG_UNBLOCK, {signal.SIGINT}
    )  # a fork server that runs' workers came of is deaf to it
    sys.exit(function(*arguments))


class Failing:
    """``os.fsync`` on a disk that is full for some files: those whose name a shell pattern matches."""

    def __init__(self, fsync: Callable[[int], None], pattern: str) -> None:
        if not Path("/proc/self/fd").exists():
            pytest.skip("the name of an open file is in Linux's /proc")
        self.fsync, self.pattern = fsync, pattern

    def __call__(self, descriptor: int) -> None:
        """Fail, or do what ``os.fsync`` does."""
        if fnmatch(Path(f"/proc/self/fd/{descriptor}").readlink().name, self.pattern):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.fsync(descriptor)

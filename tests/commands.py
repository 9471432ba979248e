"""The command line in a process of its own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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

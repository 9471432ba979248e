"""Terminals, pipes and homes that are not what one has in mind."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cl_sparse.errors import UserError
from cl_sparse.run.terminal import Terminal
from tests.commands import ROOT


def shell(folder: Path, command: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell command in which RUN is the command line."""
    words = f'RUN() {{ {sys.executable} {ROOT / "run_exps.py"} "$@"; }}; {command}'
    environment = {**os.environ, **variables}
    return subprocess.run(["bash", "-c", words], cwd=folder, capture_output=True, check=False, env=environment)


def test_a_run_in_odd_surroundings(tmp_path: Path) -> None:
    """Neither ± in the terminal nor a home, and results in a folder whose name is markup, a smile and no text."""
    command = "RUN --name quickstart_dense --seeds 2 --set num_batch=2 train_ep=1 --results-dir $'r[bold]:smile:\\xff'"
    done = shell(tmp_path, command, PYTHONIOENCODING="ascii", HOME="/dev/null", NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert b"\\xb1 " in done.stdout
    assert b"results and pictures in r[bold]:smile:\\udcff/" in done.stdout
    [folder] = tmp_path.iterdir()
    assert os.fsencode(folder.name) == b"r[bold]:smile:\xff"
    assert len(list(tmp_path.rglob("*.pkl"))) == 2


@pytest.mark.parametrize(
    ("command", "code", "line"),
    [
        ("RUN --list > /dev/full", 2, b"error: standard output: cannot be written to (No space left on device)\n"),
        ("RUN --help > /dev/full", 2, b"error: standard output: cannot be written to (No space left on device)\n"),
        ("RUN --list >&-", 0, b""),
        ("RUN --set lr=-1 >&-", 2, b"error: --set lr: -1 is out of range: above 0\n"),
        ("RUN --set lr=-1 > /dev/full", 2, b"error: --set lr: -1 is out of range: above 0\n"),
    ],
)
def test_output_that_is_full_or_closed(tmp_path: Path, command: str, code: int, line: bytes) -> None:
    done = shell(tmp_path, command)
    assert (done.returncode, done.stderr) == (code, line)


class Broken(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_a_session_whose_output_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match=r"standard output: cannot be written to \(No space left"):
        Terminal().print("text")
    monkeypatch.setattr(sys, "stdout", Broken(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):  # and not SystemExit(1), rich's own way
        Terminal().print("text")


def test_a_session_prints_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().print("results in r[/x]:smile:")
    assert capsys.readouterr().out == "results in r[/x]:smile:\n"

"""Whatever ends a sweep or a trial of it, the same command comes to the same results, and nothing is left over."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Any

import psutil
import pytest

from cl_sparse.cli import main
from cl_sparse.results import find_results, load_result
from cl_sparse.run.executors.local import Local
from cl_sparse.run.plan import Workplace
from cl_sparse.sweep.manifest import read_progress
from tests.commands import ROOT, run
from tests.run.test_jobs import Told, all_but_seconds, by_run, trial
from tests.sweep.sweeps import GRID, SMALL, write

CONTENT = {**GRID, "set": {**SMALL, "train_ep": 100, "num_batch": 3}, "space": {"lr": [0.05, 0.1]}}
START = ("-m", "cl_sparse.start")
OPTIONS = ("sweep", "s.yaml", "--results-dir", "out", "--executor", "local", "--jobs", "2")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, CONTENT)
    return tmp_path


def started(folder: Path) -> subprocess.Popen[str]:
    """Start the sweep in a process group of its own, which answers Ctrl-C whatever started the tests."""
    return subprocess.Popen(
        [sys.executable, *START, *OPTIONS],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def ended(folder: Path, number: int, after: float) -> subprocess.CompletedProcess[str]:
    """Run the sweep, and send it a signal some time after a trial has saved its first task."""
    with started(folder) as sweep:
        while not list((folder / "out" / "checkpoints").glob("*.pt")):
            assert sweep.poll() is None
            time.sleep(0.05)
        time.sleep(after)
        os.kill(sweep.pid, number)
        out, err = sweep.communicate(timeout=60)
    return subprocess.CompletedProcess(sweep.args, sweep.returncode, out, err)


def goes_on(folder: Path) -> dict[str, Any]:
    """Run the same command to its end; return the results."""
    done = run(folder, *OPTIONS, command=START)
    assert (done.returncode, done.stderr) == (0, "")
    assert list((folder / "out" / "checkpoints").iterdir()) == []
    hidden = [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")]
    assert hidden == []
    return by_run(folder / "out")


def undisturbed(folder: Path) -> dict[str, Any]:
    other = folder / "other"
    other.mkdir()
    write(other, CONTENT)
    return goes_on(other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_ended_by_a_signal_it_says_so_and_goes_on(folder, number, code, word):
    done = ended(folder, number, 0.2)
    assert (done.returncode, done.stderr) == (code, f"{word}\n")
    assert read_progress(folder / "out").ended.line.startswith(f"{word}: the same command goes on")
    assert not list((folder / "out").rglob("*.lock"))
    assert goes_on(folder) == undisturbed(folder)


def is_fork_server(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # some children are gone at once
        return "forkserver" in " ".join(process.cmdline())
    return False


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.1, 1.0, 2.0])
def test_ctrl_c_while_workers_start_is_one_word(folder, after):
    """A terminal sends it to every process of the command."""
    with started(folder) as sweep:
        while not any(map(is_fork_server, psutil.Process(sweep.pid).children())):
            assert sweep.poll() is None
            time.sleep(0.02)
        time.sleep(after)
        os.killpg(sweep.pid, signal.SIGINT)
        _, err = sweep.communicate(timeout=60)
    assert (sweep.returncode, err) == (130, "interrupted\n")


@pytest.mark.slow
def test_killed_five_times(folder):
    for attempt in range(5):
        done = ended(folder, signal.SIGKILL, random.Random(attempt).uniform(0, 2))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert goes_on(folder) == undisturbed(folder)


@pytest.mark.slow
def test_fifty_trials_whose_process_is_killed_at_random(tmp_path):
    """Each once, at a random moment; all come to the results of undisturbed ones."""
    chance = random.Random(0)
    with Local(Workplace(results_dir=tmp_path / "whole", sweep=True), 1) as executor:
        whole = [executor.submit(trial(seed, train_ep=60), Told()).result() for seed in range(10)]
    expected = [all_but_seconds(path) for path in whole]
    lasts = sum(load_result(path)[1]["seconds"]["total"] for path in whole) / len(whole)
    with Local(Workplace(results_dir=tmp_path / "killed", sweep=True), 1) as executor:
        killed = 0
        for attempt in range(50):
            told = Told()
            future = executor.submit(trial(attempt % 10, train_ep=60), told)
            timer = Timer(chance.uniform(0, lasts), lambda: executor.workers[0].kill())
            timer.start()
            assert all_but_seconds(future.result()) == expected[attempt % 10]
            timer.cancel()
            timer.join()
            killed += any("killed by signal 9" in line for line in told.lines)
    assert killed > 25
    assert list((tmp_path / "killed" / "checkpoints").iterdir()) == []


@contextmanager
def disk(place: Path, options: str) -> Iterator[None]:
    """A disk of its own at a place; skips where none may be mounted."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], capture_output=True).returncode:
        pytest.skip("no permission to mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full(folder):
    with disk(folder / "out", "size=400k"):
        done = run(folder, *OPTIONS, command=START)
        assert done.returncode == 2
        assert "No space left on device" in done.stderr
        assert all(line.startswith("error: ") for line in done.stderr.splitlines())
        subprocess.run(["mount", "-o", "remount,size=100m", str(folder / "out")], check=True)
        found = goes_on(folder)
    assert found == undisturbed(folder)


@pytest.mark.slow
def test_a_disk_that_cannot_be_written_to(folder):
    with disk(folder / "out", "ro,size=1m"):
        done = run(folder, *OPTIONS, command=START)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --results-dir out: ")
    assert done.stderr.count("\n") == 1


def test_a_clock_that_goes_back(folder, capsys):
    """Results whose names say a time that is yet to come are finished trials all the same."""
    write(folder, {**GRID, "space": {}})
    assert main([*OPTIONS]) == 0
    for path in (folder / "out").glob("quickstart*"):
        path.rename(path.with_name(path.name.replace("_20", "_29", 1)))
    capsys.readouterr()
    assert main([*OPTIONS]) == 0
    assert capsys.readouterr().out.count("finished earlier") == 2
    assert len(find_results(folder / "out")) == 2

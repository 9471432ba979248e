"""``--jobs``: the same results as one after another, bit for bit, whatever happens to the processes that make them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from cl_sparse.cli import main
from cl_sparse.config.experiments import load_experiments
from cl_sparse.config.identity import short_hash
from cl_sparse.data import datasets
from cl_sparse.errors import UserError
from cl_sparse.results import find_results, load_result
from cl_sparse.run.executors.local import TRIES, Local
from cl_sparse.run.executors.worker import End, work
from cl_sparse.run.plan import Workplace
from cl_sparse.run.trial import Trial
from tests.commands import FRESH, ROOT

SETTINGS = {"train_ep": 1, "train_subset": 100, "test_subset": 50, "num_batch": 3, "hidden_units": 50}
WORDS = [f"{key}={value}" for key, value in SETTINGS.items()]
ENDLESS = ["--name", "quickstart_sparse", "--seeds", "2", "--jobs", "2", "--set", *WORDS, "train_ep_inc=100000"]


class Told:
    """A watch that remembers, and does something when the trial begins or a line says something."""

    def __init__(self, at: str = "", then: Callable[[], object] = lambda: None) -> None:
        self.lines: list[str] = []
        self.steps, self.at, self.then = 0, at, then

    def begin(self, steps: int) -> None:
        self.planned, self.steps = steps, 0
        if self.at == "begin":
            self.then()

    def advance(self, steps: int) -> None:
        self.steps += steps

    def task_done(self, line: str, accuracy: float) -> None:
        assert 0 <= accuracy <= 1
        self.say(line)

    def say(self, line: str) -> None:
        self.lines.append(line)
        if self.at in line:
            self.then()

    def complain(self, line: str) -> None:
        self.lines.append(f"error: {line}")


def trial(seed: int = 0, **changes: object) -> Trial:
    return Trial(load_experiments().config("quickstart_sparse", {**SETTINGS, **changes}), seed)


def all_but_seconds(path: Path) -> object:
    """A result in a form that == compares, NaN with NaN."""

    def comparable(value: object) -> object:
        if isinstance(value, dict):
            return {key: comparable(entry) for key, entry in value.items() if key != "seconds"}
        return (value.dtype, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)

    return comparable(dict(zip(("config", "stats"), load_result(path), strict=True)))


def by_run(folder: Path) -> dict[str, object]:
    loaded = {path: load_result(path)[0] for path in find_results(folder)}
    return {f"{short_hash(config)} {config['seed']}": all_but_seconds(path) for path, config in loaded.items()}


def test_results_are_those_of_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run", "--set", *WORDS, "--threads", "1", "--seeds"]
    assert main([*command, "2", "--results-dir", "one"]) == 0
    said = capsys.readouterr().out
    assert main([*command, "2", "--results-dir", "two", "--jobs", "2"]) == 0
    assert capsys.readouterr().out.count("accuracy on it") == said.count("accuracy on it") == 8 * 3 - 4 * 2
    results = by_run(tmp_path / "one")
    assert len(results) == 8
    assert by_run(tmp_path / "two") == results
    assert len(list((tmp_path / "two").glob("*.png"))) == 9
    assert list((tmp_path / "two" / "checkpoints").iterdir()) == []
    assert main([*command, "3", "--results-dir", "two", "--jobs", "2", "--resume"]) == 0
    assert capsys.readouterr().out.count("finished earlier") == 8
    assert len(find_results(tmp_path / "two")) == 12


def test_a_killed_process_costs_nothing_but_its_task(tmp_path):
    slower = trial(train_ep=30)
    with Local(Workplace(results_dir=tmp_path / "whole"), 1) as executor:
        expected = executor.submit(slower, told := Told()).result()
    assert told.steps == told.planned
    with Local(Workplace(results_dir=tmp_path / "killed"), 1) as executor:
        told = Told("task 2/3", lambda: executor.workers[0].kill())
        got = executor.submit(slower, told).result()
        next_one = executor.submit(trial(1), Told()).result()
    assert "quickstart_sparse seed 0: its process was killed by signal 9: tried again from its last task" in told.lines
    assert "quickstart_sparse seed 0: 2 tasks are done, going on" in told.lines
    assert told.steps == told.planned
    assert all_but_seconds(got) == all_but_seconds(expected)
    assert load_result(next_one)[1]["stopped"] is None
    assert list((tmp_path / "killed" / "checkpoints").iterdir()) == []


def test_a_trial_that_never_survives_fails_alone(tmp_path):
    with Local(Workplace(results_dir=tmp_path), 1) as executor:
        deadly = executor.submit(trial(train_ep=1000), told := Told("begin", lambda: executor.workers[0].kill()))
        other = executor.submit(trial(1), Told())
        with pytest.raises(UserError, match=rf"^its process ended {TRIES} times: is there memory for 1 run"):
            deadly.result()
        assert load_result(other.result())[1]["stopped"] is None
    assert sum("killed by signal 9" in line for line in told.lines) == TRIES


def test_what_fails_in_a_process_fails_here(tmp_path):
    (tmp_path / "results").mkdir()
    with Local(Workplace(results_dir=tmp_path / "results"), 1) as executor:
        (tmp_path / "results" / "checkpoints").touch()
        with pytest.raises(UserError, match=r"results/checkpoints: cannot write there \(File exists\)"):
            executor.submit(trial(), Told()).result()


def test_processes_share_the_data_in_memory(tmp_path):
    """A process is given data that are nowhere else: it could not have read them."""
    given = datasets.load_data("digits")
    root = (tmp_path / "absent").absolute()
    place = Workplace(data_root=root, results_dir=tmp_path, threads=1)
    ours, theirs = FRESH.Pipe()
    process = FRESH.Process(target=work, args=(theirs, place, {("mnist", root): given}))
    process.start()
    ours.send((trial(benchmark="SplitDataset", dataset="mnist", num_batch=5), False))
    while not isinstance(told := ours.recv(), End):
        assert told[0] in ("begin", "advance", "task_done", "say", "complain")
    assert told.error is None
    ours.close()
    process.join(30)
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        (signal.SIGKILL, -9),
    ],
)
def test_no_process_outlives_the_command(tmp_path, number, code):
    words = [sys.executable, str(ROOT / "run_exps.py"), *ENDLESS]
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        for seen, line in enumerate(process.stdout):
            assert "task 1/3" in line
            if seen == 1:
                break
        others = psutil.Process(process.pid).children(recursive=True)
        assert len(others) >= 2
        started = time.monotonic()
        os.kill(process.pid, number)
        assert process.wait(30) == code
        assert time.monotonic() - started < 10
        _, alive = psutil.wait_procs(others, timeout=10)
        assert alive == []
        assert process.stderr.read() == {130: "interrupted\n", 143: "terminated\n", -9: ""}[code]
    left = {path.suffix for path in (tmp_path / "results" / "checkpoints").iterdir()}
    assert left - ({".lock"} if number == signal.SIGKILL else set()) == {".pt"}

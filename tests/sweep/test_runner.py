"""What the runner takes from its executor: trials that wait, and trials that a scheduler stops."""

import json
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from cl_sparse.cli import main
from cl_sparse.errors import UserError
from cl_sparse.run.earlier import EarlierResults
from cl_sparse.run.executors.base import StoppedEarlyError
from cl_sparse.run.executors.here import Here
from cl_sparse.run.plan import Workplace
from cl_sparse.run.trial import Trial, Watch
from cl_sparse.sweep import session
from cl_sparse.sweep.manifest import read_progress
from tests.sweep.sweeps import GRID, TUNED, write

ASHA = {
    **{**TUNED, "experiments": ["quickstart_dense"], "scheduler": "asha"},
    **{"select": {"seeds": [100], "trials": 2}, "report": {"seeds": [0]}},
}


class Stopping(Here):
    """Stops the smaller learning rate early."""

    tried: ClassVar[list[float]] = []

    def submit(self, trial: Trial, watch: Watch) -> Future[Path]:
        future: Future[Path] = Future()
        self.tried.append(trial.config.lr)
        if trial.config.lr == 0.02:
            future.set_exception(StoppedEarlyError("stopped early by ASHA"))
        else:
            future.set_result(self.run(trial, watch))
        return future


class Waiting(Here):
    """Begins its first trial, and never ends it."""

    begun = False

    def submit(self, trial: Trial, watch: Watch) -> Future[Path]:
        future: Future[Path] = Future()
        if not self.begun:
            future.set_running_or_notify_cancel()
        self.begun = True
        return future


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_with(executor, monkeypatch, content, *options):
    def made(plan, n_tasks):
        place: Workplace = plan.place
        return executor(place, EarlierResults(place.results_dir, None))

    monkeypatch.setattr(session, "_executor", made)
    return main(["sweep", str(write(Path(), content)), "--results-dir", "out", *options])


def events() -> list[str]:
    return [json.loads(line)["event"] for line in Path("out/manifest.jsonl").read_text().splitlines()]


def test_a_trial_that_was_stopped_early_is_done(monkeypatch, capsys):
    monkeypatch.setattr(Stopping, "tried", [])
    assert run_with(Stopping, monkeypatch, ASHA) == 0
    assert Stopping.tried == [0.02, 0.1, 0.1]
    for _ in range(2):
        capsys.readouterr()
        assert run_with(Stopping, monkeypatch, ASHA) == 0
        assert "lr=0.02 seed 100  stopped early by an earlier command  (1/3)" in capsys.readouterr().out
        assert len(Stopping.tried) == 3
    assert run_with(Stopping, monkeypatch, {**ASHA, "set": {**ASHA["set"], "hidden_units": 21}}) == 0
    assert len(Stopping.tried) == 6
    assert run_with(Stopping, monkeypatch, ASHA, "--force") == 0
    assert len(Stopping.tried) == 9


def test_only_finalists_run_with_all_seeds(capsys):
    select = {"seeds": [100, 101, 102], "trials": 4, "finalists": 2, "share": 0.2}
    sweep = {**TUNED, "experiments": ["quickstart_dense"], "space": {"lr": [0.001, 0.02, 0.1, 0.2]}, "select": select}
    write(Path(), sweep)
    command = ["sweep", "s.yaml", "--executor", "local", "--results-dir", "out"]
    assert main([*command, "--dry-run"]) == 0
    assert "1, 3 of the 2 best" in capsys.readouterr().out
    assert main(command) == 0
    notes = [json.loads(line) for line in Path("out/manifest.jsonl").read_text().splitlines()]
    done = [note for note in notes if note["event"] == "finished" and note["phase"] == "try"]
    first = {note["point"]: note["worth"] for note in done if note["seed"] == 100}
    finalists = sorted(first, key=lambda number: -first[number])[:2]
    later = {(note["point"], note["seed"]): note["worth"] for note in done if note["seed"] != 100}
    assert set(later) == {(number, seed) for number in finalists for seed in (101, 102)}
    means = {n: (first[n] + later[n, 101] + later[n, 102]) / 3 for n in finalists}
    winners = Path("out/winners.yaml").read_text()
    assert "4 points (grid search), of which the 2 best with seed 100 ran with all seeds" in winners
    assert yaml.safe_load(winners)["quickstart_dense_tuned"]["lr"] == [0.001, 0.02, 0.1, 0.2][max(means, key=means.get)]
    assert notes[0]["planned"] == {"quickstart_dense": 4 + 2 * 2 + 2}
    assert main(command) == 0  # finds everything done
    assert "finished earlier" in capsys.readouterr().out


def test_finalists_that_all_fail_leave_nothing_to_choose(monkeypatch, capsys):
    class Failing(Here):
        def submit(self, trial: Trial, watch: Watch) -> Future[Path]:
            future: Future[Path] = Future()
            if trial.seed == 100:
                future.set_result(self.run(trial, watch))
            else:
                future.set_exception(UserError("no room"))
            return future

    select = {"seeds": [100, 101], "trials": 2, "finalists": 1, "share": 0.2}
    content = {**TUNED, "experiments": ["quickstart_dense"], "select": select}
    assert run_with(Failing, monkeypatch, content) == 2
    assert "none of its finalists came to an end" in capsys.readouterr().err


def test_a_trial_that_waits_has_not_begun(monkeypatch):
    assert run_with(Waiting, monkeypatch, GRID, "--max-hours", "0.0003") == 75
    assert events() == ["plan", "begun", "end"]


def test_a_sweep_says_that_it_has_begun_before_anything_is_built(monkeypatch, capsys):
    def check(_):
        assert read_progress(Path("out")).plan.planned == {"quickstart_dense": 8}
        raise UserError("no such data")

    monkeypatch.setattr(session, "_check", check)
    assert run_with(Waiting, monkeypatch, GRID) == 2
    assert read_progress(Path("out")).ended.line == "ended by an error: no such data"
    assert capsys.readouterr().err == "error: no such data\n"

"""Sweeps on Slurm, without one: the script that would be submitted, and the job that would run."""

import sys
from pathlib import Path

import pytest

from cl_sparse.cli import main
from cl_sparse.config.experiments import load_experiments
from cl_sparse.errors import UserError
from cl_sparse.results import load_result
from cl_sparse.run.executors.slurm import Slurm
from cl_sparse.run.plan import Workplace
from cl_sparse.run.trial import Trial
from tests.commands import ROOT
from tests.run.test_jobs import SETTINGS, Told, all_but_seconds
from tests.sweep.sweeps import GRID, write

pytest.importorskip("submitit")

COMMANDS = {
    "srun": "exit 0",
    "scancel": 'echo "$@" >> cancelled',
    "sacct": 'echo "JobID|State|NodeList"; echo "77|RUNNING|node1"',
    "sbatch": 'cp "$1" submitted.sh; echo "Submitted batch job 77"',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def slurm(folder, monkeypatch):
    """Slurm's commands, which note what they are asked for."""
    (folder / "bin").mkdir()
    for name, body in COMMANDS.items():
        command = folder / "bin" / name
        command.write_text(f"#!/bin/sh\n{body}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/bin:/usr/bin")


def trial(seed: int = 0, **changes: object) -> Trial:
    return Trial(load_experiments().config("quickstart_sparse", {**SETTINGS, **changes}), seed)


@pytest.mark.usefixtures("slurm")
def test_what_would_be_submitted(folder):
    place = Workplace(results_dir=folder / "out", threads=2)
    with Slurm(place, 3, {"partition": "long", "time": 120}) as executor:
        told = Told()
        future = executor.submit(trial(), told)
        assert not future.done()
    script = (folder / "submitted.sh").read_text()
    for line in ("--cpus-per-task=2", "--partition=long", "--time=120", "--job-name=cl_sparse"):
        assert f"#SBATCH {line}\n" in script
    assert sys.executable in script
    assert told.lines == ["quickstart_sparse seed 0: job 77"]
    assert "77" in (folder / "cancelled").read_text()


@pytest.mark.usefixtures("slurm")
def test_an_option_that_slurm_does_not_have(folder):
    with pytest.raises(UserError, match=r"--executor slurm: .*partitoin"):
        Slurm(Workplace(results_dir=folder / "out"), 1, {"partitoin": "long"})


def test_without_slurm_it_is_one_line(folder, capsys):
    assert main(["sweep", str(write(folder, GRID)), "--executor", "slurm"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --executor slurm: ")
    assert said.count("\n") == 1


def test_a_job_gives_the_result_of_a_run_here(folder):
    """The job is run by submitit's own local executor, in a process as Slurm would start it."""
    expected = folder / "expected"
    assert (
        main(
            [
                "run",
                "--name",
                "quickstart_sparse",
                "--seed",
                "0",
                "--threads",
                "1",
                "--results-dir",
                str(expected),
                "--set",
                *(f"{key}={value}" for key, value in SETTINGS.items()),
            ]
        )
        == 0
    )
    with Slurm(Workplace(results_dir=folder / "out"), 1, {}, cluster="local") as executor:
        path = executor.submit(trial(), Told()).result(timeout=120)
        (folder / "out" / "checkpoints").rmdir()
        (folder / "out" / "checkpoints").touch()
        with pytest.raises(UserError, match=r"checkpoints: cannot write there \(File exists\)"):
            executor.submit(trial(1), Told()).result(timeout=120)
    (other,) = Path(expected).glob("*.pkl")
    assert all_but_seconds(path) == all_but_seconds(other)
    assert load_result(path)[1]["threads"] == 1

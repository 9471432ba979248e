"""What fails in one run costs the others nothing, and a picture costs no result: one line each, and exit code 2."""

import errno
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch

from cl_sparse.cli import main
from cl_sparse.config.experiments import load_experiments
from cl_sparse.errors import UserError
from cl_sparse.plugins import DivergedError
from cl_sparse.results import find_results
from cl_sparse.run import provenance, session, trial
from cl_sparse.run.alone import alone
from cl_sparse.run.checkpoint import checkpoint_path, save_checkpoint
from cl_sparse.run.one_run import Run
from tests.commands import Failing

SETTINGS = {"train_ep": 1, "train_subset": 100, "test_subset": 50, "num_batch": 2, "hidden_units": 20}
COMMAND = ["run", "--name", "quickstart_dense", "--set", *(f"{k}={v}" for k, v in SETTINGS.items())]
RESULTS = Path("results")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Refusing:
    """``Path.unlink`` in a folder that has become read-only."""

    def __init__(self, unlink, suffix):
        self.unlink, self.suffix = unlink, suffix

    def __get__(self, path, _):
        if path.suffix == self.suffix:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return self.unlink.__get__(path)


def checkpoint(seed: int) -> Path:
    return checkpoint_path(RESULTS, load_experiments().config("quickstart_dense", SETTINGS), seed)


def seeds_done() -> list[int]:
    return sorted(int(path.stem.partition("_seed")[2]) for path in find_results(RESULTS))


def test_a_run_under_way_elsewhere_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(session, "check_alone", lambda _: None)  # as if it began after the check
    with alone(checkpoint(1)):
        assert main([*COMMAND, "--seeds", "3"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: quickstart_dense seed 1: results/checkpoints/quickstart_dense_seed1_")
    assert said.err.endswith("another process is at this very run: wait for it, or end it\n")
    assert said.err.count("\n") == 1
    assert "over 2 seeds" in said.out
    assert seeds_done() == [0, 2]


@pytest.mark.parametrize(("what", "line"), [("*_seed1_*", "/checkpoints: cannot write"), ("*_seed1.json", ": cannot ")])
def test_a_disk_that_is_full_for_a_while(monkeypatch, capsys, what, line):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Failing(os.fsync, what))
        assert main([*COMMAND, "--seeds", "3"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: quickstart_dense seed 1: results")
    assert line in said.err
    assert "(No space left on device)" in said.err
    assert said.err.count("\n") == 1
    assert seeds_done() == [0, 2]
    assert main([*COMMAND, "--seeds", "3", "--resume"]) == 0
    assert seeds_done() == [0, 1, 2]
    assert not list((RESULTS / "checkpoints").iterdir())


def test_pictures_that_cannot_be_written(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Failing(os.fsync, "*.png*"))
        assert main([*COMMAND, "--seeds", "2"]) == 2
    said = capsys.readouterr()
    assert said.err.count("cannot be written (No space left on device)\n") == said.err.count("\n") == 3
    assert "over 2 seeds" in said.out
    assert seeds_done() == [0, 1]
    assert not list(RESULTS.glob("*.png"))
    assert main([*COMMAND, "--seeds", "2", "--resume"]) == 0
    assert len(list(RESULTS.glob("*.png"))) == 3
    assert len(find_results(RESULTS)) == 2


def test_a_checkpoint_that_cannot_be_removed_costs_no_result(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", Refusing(Path.unlink, ".pt"))
        assert main([*COMMAND, "--seed", "0"]) == 2
    said = capsys.readouterr()
    assert (
        said.err == f"error: {checkpoint(0)}: cannot be removed (Read-only file system), though the result is there\n"
    )
    assert "quickstart_dense" in said.out
    assert main([*COMMAND, "--seed", "0", "--resume"]) == 0
    assert not checkpoint(0).exists()


def test_a_results_folder_that_vanishes_under_way(monkeypatch, capsys):
    real = trial.save_result

    def save_result(results_dir, name, seed, *more):
        if seed == 1:
            shutil.rmtree(results_dir)
        return real(results_dir, name, seed, *more)

    monkeypatch.setattr(trial, "save_result", save_result)
    assert main([*COMMAND, "--seeds", "2", "--resume"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "over 2 seeds" in said.out
    assert seeds_done() == [1]


def test_a_full_disk_is_reported_whatever_torch_makes_of_it(tmp_path):
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"task": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(UserError, match=rf"^{tmp_path}: cannot write c\.pt \(File too large\)$"):
            save_checkpoint(path, {"task": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.load(path, weights_only=True) == {"task": 1}
    assert [left.name for left in tmp_path.iterdir()] == ["c.pt"]


def diverge(monkeypatch, at: int) -> None:
    real = Run._train

    def train(self, task):
        if task == at:
            raise DivergedError("the loss is nan")
        real(self, task)

    monkeypatch.setattr(Run, "_train", train)


def test_a_stopped_run_is_not_trained_again_until_the_code_is_another(monkeypatch, capsys):
    command = [*COMMAND, "--seed", "0", "--resume"]
    with monkeypatch.context() as patch:
        diverge(patch, at=1)
        assert main(command) == 1
    assert checkpoint(0).exists()
    assert "error: quickstart_dense seed 0 stopped: the loss is nan\n" in capsys.readouterr().err

    assert main(command) == 1
    said = capsys.readouterr()
    assert "quickstart_dense seed 0: stopped earlier, results/" in said.out
    assert said.err == "error: quickstart_dense seed 0 stopped: the loss is nan\n"
    assert seeds_done() == [0]

    with monkeypatch.context() as patch:
        patch.setattr(provenance, "code_hash", lambda: "mended")
        assert main(command) == 0
    assert "1 tasks are done, some by other code" in capsys.readouterr().out
    assert seeds_done() == [0, 0]
    assert not checkpoint(0).exists()
    assert main(command) == 0
    assert "finished earlier" in capsys.readouterr().out

"""Two runs in one results folder: with other settings they do not meet, the same one runs once at a time."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cl_sparse.cli import main
from cl_sparse.config.experiments import load_experiments
from cl_sparse.errors import UserError
from cl_sparse.run import build
from cl_sparse.run.alone import alone, check_alone
from cl_sparse.run.checkpoint import checkpoint_path
from cl_sparse.run.one_run import Observer, Run
from tests.commands import ROOT

SETTINGS = {"train_ep": 1, "train_subset": 100, "test_subset": 50, "num_batch": 2, "hidden_units": 20}
COMMAND = ["run", "--name", "quickstart_dense", "--seed", "0", "--set", *(f"{k}={v}" for k, v in SETTINGS.items())]
HOLD = """
import sys
from pathlib import Path
from cl_sparse.run.alone import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(**changes):
    return load_experiments().config("quickstart_dense", {**SETTINGS, **changes})


def left_over(path, **changes):
    """Leave the checkpoint of a run that ended before its result was written."""
    made = config(**changes)
    Run(made, build.build_benchmark(made, 0, None), 0, torch.device("cpu"), Observer()).run(path)
    return path


def test_other_settings_of_one_name_leave_a_checkpoint_alone(folder, capsys):
    one, other = (left_over(checkpoint_path(Path("results"), config(lr=lr), 0), lr=lr) for lr in (0.02, 0.03))
    assert one != other
    assert main([*COMMAND, "lr=0.04", "--resume"]) == 0
    assert "going on" not in capsys.readouterr().out
    assert main([*COMMAND, "lr=0.03"]) == 0
    assert one.exists()
    assert not other.exists()
    assert main([*COMMAND, "lr=0.02", "--resume"]) == 0
    assert "2 tasks are done, going on" in capsys.readouterr().out
    assert not list(one.parent.iterdir())


def test_a_checkpoint_named_by_name_and_seed_alone_is_taken_up_by_its_own_run(folder, capsys):
    earlier = left_over(Path("results/checkpoints/quickstart_dense_seed0.pt"), lr=0.02)
    assert main([*COMMAND, "lr=0.03", "--resume"]) == 0
    assert earlier.exists()
    assert main([*COMMAND, "lr=0.02", "--resume"]) == 0
    assert "2 tasks are done, going on" in capsys.readouterr().out
    assert not earlier.exists()


def test_the_same_run_is_refused_while_it_is_under_way_and_a_kill_ends_that(folder, capsys):
    checkpoint = checkpoint_path(Path("results"), config(), 0)
    words = [sys.executable, "-c", HOLD, str(checkpoint.absolute())]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert main(COMMAND) == 2
        assert capsys.readouterr().err == (
            f"error: {checkpoint.with_suffix('.lock')}: another process is at this very run: wait for it, or end it\n"
        )
        with pytest.raises(UserError, match="another process"), alone(checkpoint):
            pass
        assert main([*COMMAND, "lr=0.02"]) == 0
        assert main([*COMMAND, "--dry-run"]) == 0
        holder.kill()
    assert checkpoint.with_suffix(".lock").exists()
    assert main(COMMAND) == 0
    assert not list(checkpoint.parent.iterdir())


def test_half_written_checkpoints_of_a_killed_run_are_cleared_away(tmp_path):
    checkpoint, other = tmp_path / "a[1]_seed0_0.pt", tmp_path / "a1_seed0_0.77.tmp"
    left = checkpoint.with_suffix(".123.tmp")
    for path in (left, other):
        path.touch()
    with alone(checkpoint):
        assert not left.exists()
    check_alone(checkpoint)
    assert list(tmp_path.iterdir()) == [other]

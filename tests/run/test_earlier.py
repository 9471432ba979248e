"""Which earlier results stand for a run: those of its settings, seed and data."""

import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from cl_sparse.cli import main
from cl_sparse.data import datasets
from cl_sparse.errors import UserError
from cl_sparse.results import find_results, load_complete_result, load_result, save_result
from cl_sparse.run import earlier
from tests.conftest import small_config
from tests.result_examples import finished

COMMAND = ["run", "--name", "quickstart_dense", "--seed", "0", "--data-root", ".", "--resume", "--set"]
COMMAND += ["benchmark=SplitDataset", "dataset=npz:mine.npz", "num_batch=2", "hidden_units=8", "train_ep=1"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_data(seed: int) -> None:
    y = np.arange(40) % 4
    x = np.random.default_rng(seed).normal(size=(40, 6)).astype(np.float32)
    np.savez("mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    datasets.forget_loaded()  # as in a new process


def found() -> list[Path]:
    return find_results(Path("results"))


def test_a_result_of_other_data_does_not_stand_for_a_run(capsys):
    write_data(0)
    assert main(COMMAND) == 0
    write_data(1)
    capsys.readouterr()
    assert main(COMMAND) == 0
    first, second = found()
    line = f"quickstart_dense seed 0: {first} was made with other data than are there now, trained anew\n"
    assert line in capsys.readouterr().out
    assert main(COMMAND) == 0
    assert f"finished earlier, {second}" in capsys.readouterr().out
    write_data(0)
    assert main(COMMAND) == 0
    assert f"finished earlier, {first}" in capsys.readouterr().out
    assert found() == [first, second]
    marks = [load_result(path)[1]["benchmark"]["fingerprint"] for path in found()]
    assert len(set(marks)) == 2
    assert all(re.fullmatch("[0-9a-f]{16}", mark) for mark in marks)


def test_a_checkpoint_of_other_data_is_refused(capsys, monkeypatch):
    write_data(0)
    with monkeypatch.context() as patch:  # as if killed before the result was written
        patch.setattr("cl_sparse.run.trial.save_result", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(COMMAND) == 130
    write_data(1)
    capsys.readouterr()
    assert main(COMMAND) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(
        r"error: results/checkpoints/quickstart_dense_seed0_\w+\.pt: was written with other data \(npz:mine.npz had "
        r"the fingerprint \w{16}, and has \w{16} now\): restore them, or run without --resume to start anew\n",
        said.err,
    )
    assert found() == []
    assert main([word for word in COMMAND if word != "--resume"]) == 0


def test_each_result_is_read_once_and_one_that_says_no_data_counts(monkeypatch):
    config = small_config()
    stored = config.model_dump()
    for seed in range(6):
        stats = finished(seed=seed)[1]
        save_result(Path("results"), "small", seed, {"seed": seed, **stored}, stats, datetime(2026, 11, 25))
    reads = []
    monkeypatch.setattr(earlier, "load_complete_result", lambda path: reads.append(path) or load_complete_result(path))
    results = earlier.EarlierResults(Path("results"), None)
    for seed in range(6):
        results.forget_listing()
        assert isinstance(results.find(config, seed), earlier.Earlier)
    assert results.find(config, 6) is None
    assert len(reads) == 6


@pytest.mark.parametrize("seed", [[0], "0", None])
def test_a_result_of_no_seed_is_named(seed):
    config, stats = small_config(), finished()[1] | {"seed": seed}
    save_result(Path("results"), "small", 0, config.model_dump(), stats, datetime(2026, 11, 25))
    with pytest.raises(UserError, match=r"small_.*\.pkl: stats\.seed: "):
        earlier.EarlierResults(Path("results"), None).find(config, 0)


def test_data_are_read_once_for_all_seeds(monkeypatch):
    write_data(0)
    config = small_config(benchmark="SplitDataset", dataset="npz:mine.npz", num_batch=2)
    mark = earlier.build.build_benchmark(config, 0, Path()).fingerprint
    built = []
    real = earlier.build.build_benchmark
    monkeypatch.setattr(earlier.build, "build_benchmark", lambda *words: built.append(words) or real(*words))
    for seed in range(3):
        stats = finished(seed=seed)[1]
        stats["benchmark"]["fingerprint"] = mark
        save_result(Path("results"), "small", seed, config.model_dump(), stats, datetime(2026, 11, 25))
    results = earlier.EarlierResults(Path("results"), Path())
    assert all(isinstance(results.find(config, seed), earlier.Earlier) for seed in range(3))
    assert len(built) == 1

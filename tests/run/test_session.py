"""The whole way, from a command to files, in this process."""

import json
import pickle
import re

import numpy as np
import pytest

from cl_sparse.cli import main
from cl_sparse.results import load_result

QUICK = ["--set", "train_ep=1", "train_subset=100", "test_subset=50", "num_batch=3", "hidden_units=30"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder, ending):
    return sorted((folder / "results").glob(f"*{ending}"))


def test_a_group_leaves_results_pictures_and_a_table(folder, capsys):
    assert main(["run", *QUICK, "percent_on_fc=0.1", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    names = ["quickstart_dense", "quickstart_sparse", "quickstart_dense_cumul", "quickstart_sparse_cumul"]
    for name in names:
        assert re.search(rf"^{name} .* ± ", out, re.MULTILINE)
    assert out.count("task 3/3") == 8
    assert "accuracy on it" in out
    assert len(files(folder, ".pkl")) == len(files(folder, ".json")) == 8
    assert len(files(folder, ".png")) == 9
    assert not list((folder / "results" / "checkpoints").iterdir())
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", path.name) for path in (folder / "results").iterdir())


def test_a_result_holds_what_it_promises_and_needs_no_package(folder):
    assert main(["run", "--name", "quickstart_sparse", "--seed", "4", *QUICK, "validation=0.2"]) == 0
    (path,) = files(folder, ".pkl")
    with path.open("rb") as file:
        config, stats = pickle.load(file)
    assert (config["name"], config["seed"], stats["seed"]) == ("quickstart_sparse", 4, 4)
    assert np.shape(stats["accs"]) == np.shape(stats["val_accs"]) == (3, 3)
    assert not np.isnan(stats["accs"]).any()
    assert np.shape(stats["accs_init"]) == (3,)
    assert len(stats["perc_on_avg"]) == len(stats["perc_on_std"]) == 3
    (layer,) = stats["on_idxs"]
    assert stats["on_idxs"][layer].shape == (30,)
    assert stats["unit_use"][layer].shape == (3, 30)
    assert stats["overlap"][layer].shape == stats["overlap_chance"][layer].shape == (3, 3)
    for key in ("density", "active_share", "duty_entropy"):
        assert all(len(values) == 3 for values in stats[key].values()), key
    assert len(stats["carried_bytes"]) == len(stats["steps"]) == 3
    assert len(stats["units"]) == len(stats["live_synapses_by_task"]) == 3
    assert stats["live_synapses_by_task"][-1] == stats["live_synapses"]
    assert stats["carried_bytes"][0]["buffers"] > 0
    for key in ("parameters", "live_synapses", "versions", "code_hash", "machine", "threads", "benchmark", "budget"):
        assert stats[key], key
    assert (stats["scenario"], stats["heads"]) == ("domain", "single")
    assert stats["stopped"] is None
    twin = load_result(path.with_suffix(".json"))
    np.testing.assert_array_equal(twin[1]["accs"], stats["accs"])
    json.loads(path.with_suffix(".json").read_text(), parse_constant=lambda word: pytest.fail(word))


def test_resume_skips_what_is_finished_and_runs_what_is_not(folder, capsys):
    command = ["run", "--name", "quickstart_dense", *QUICK, "--resume"]
    assert main([*command, "--seed", "0"]) == 0
    capsys.readouterr()
    assert main([*command, "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert "quickstart_dense seed 0: finished earlier" in out
    assert "quickstart_dense seed 1  task 3/3" in out
    assert len(files(folder, ".pkl")) == 2
    assert main([*command, "--seeds", "2", "--set", "lr=0.07"]) == 0
    assert len(files(folder, ".pkl")) == 4


def test_quiet_prints_the_table_alone(folder, capsys):
    assert main(["run", "--name", "quickstart_dense", "--seed", "0", "--quiet", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "accuracy on it" not in out
    assert "quickstart_dense" in out


def test_a_dry_run_estimates_and_writes_nothing(folder, capsys):
    assert main(["run", "--dry-run", "--seeds", "2", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "quickstart_sparse_cumul" in out
    assert "hours in all" in out
    assert not list(folder.iterdir())


def test_two_runs_of_one_command_give_the_same_numbers(folder):
    for _ in range(2):
        assert main(["run", "--name", "quickstart_sparse", "--seed", "1", *QUICK]) == 0
    (_, first), (_, second) = map(load_result, files(folder, ".pkl"))
    np.testing.assert_array_equal(first["accs"], second["accs"])


def test_what_two_groups_share_runs_once(folder, capsys):
    (folder / "exps").mkdir()
    groups = "a: {group: [quickstart_dense]}\nb: {group: [quickstart_dense, quickstart_sparse]}\n"
    (folder / "exps" / "mine.yaml").write_text(groups)
    assert main(["run", "--name", "a", "b", "--seed", "0", *QUICK]) == 0
    assert len(files(folder, ".pkl")) == 2
    assert capsys.readouterr().out.count("quickstart_dense  ") >= 2

"""Sweeps from file to results, in this process; the trials run in others."""

import json
import math
import pickle

import numpy as np
import pytest
import torch
import yaml

from cl_sparse.cli import main
from cl_sparse.config.experiments import load_experiments
from cl_sparse.results import find_results, load_result
from cl_sparse.run import provenance
from cl_sparse.run.build import build_benchmark
from cl_sparse.run.checkpoint import checkpoint_path
from cl_sparse.run.one_run import Observer, Run
from cl_sparse.sweep.search import search_of
from tests.sweep.sweeps import GRID, SMALL, TUNED, methods, write

FOLDER = "results/sweeps/s"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(folder, content, *options):
    return main(["sweep", str(write(folder, content)), "--jobs", "2", "--executor", "local", *options])


def events(folder):
    lines = (folder / FOLDER / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_grid_runs_once_and_what_is_added_runs_alone(folder, capsys):
    assert sweep(folder, GRID) == 0
    out = capsys.readouterr().out
    assert out.count("acc on test data") == 8
    assert out.count("; 8/8)") == out.count("; 3/8, ") == 1
    assert "quickstart_dense (hidden_units=20, lr=0.05)" in out
    first = find_results(folder / FOLDER)
    assert len(first) == 8
    assert not list((folder / FOLDER / "checkpoints").iterdir())

    assert sweep(folder, {**GRID, "space": {"lr": [0.05, 0.1, 0.2], "hidden_units": [20, 30]}}) == 0
    out = capsys.readouterr().out
    assert out.count("finished earlier") == 8
    assert [path.name for path in (folder / FOLDER).glob("*.png")] == ["s_accuracy.png"]
    added = [load_result(path)[0]["lr"] for path in find_results(folder / FOLDER) if path not in first]
    assert added == [0.2] * 4
    assert [event["event"] for event in events(folder)].count("begun") == 12

    (path,) = [path for path in first if load_result(path)[1]["seed"] == 1 and load_result(path)[0]["lr"] == 0.05][:1]
    expected = load_result(path)[1]
    settings = [f"{key}={value}" for key, value in SMALL.items()]
    units = load_result(path)[0]["hidden_units"]
    alone = ["run", "--name", "quickstart_dense", "--seed", "1", "--results-dir", "alone", "--threads", "1", "--set"]
    assert main([*alone, *settings, "lr=0.05", f"hidden_units={units}"]) == 0
    (result,) = find_results(folder / "alone")
    np.testing.assert_array_equal(load_result(result)[1]["accs"], expected["accs"])
    assert load_result(result)[1]["threads"] == expected["threads"] == 1


def test_the_best_on_validation_data_is_tested_and_written_down(folder, capsys):
    assert sweep(folder, TUNED) == 0
    out = capsys.readouterr().out
    results = [load_result(path) for path in find_results(folder / FOLDER)]
    tried = [(config, stats) for config, stats in results if not config["name"].endswith("_tuned")]
    reported = [(config, stats) for config, stats in results if config["name"].endswith("_tuned")]
    assert len(tried) == 2 * 2 * 2
    assert sorted((config["name"], stats["seed"]) for config, stats in reported) == [
        (f"{name}_tuned", seed) for name in ("quickstart_dense", "split_digits") for seed in (0, 1)
    ]
    text = (folder / FOLDER / "winners.yaml").read_text()
    for name in ("quickstart_dense", "split_digits"):
        values = {
            lr: np.mean(
                [
                    stats["val_accs"][-1].mean()
                    for config, stats in tried
                    if (config["name"], config["lr"]) == (name, lr)
                ]
            )
            for lr in (0.02, 0.1)
        }
        best = max(values, key=values.get)
        assert f"# Chosen: lr={best}: {values[best]:.4f}." in text
        assert f"# Runner-up: lr={0.12 - best:.2g}: {min(values.values()):.4f}." in text
        assert {config["lr"] for config, _ in reported if config["name"] == f"{name}_tuned"} == {best}
    assert all(stats["val_accs"] is None for _, stats in reported)
    assert "# Searched: lr: 0.02, 0.1." in text
    assert text.count("\n  lr: ") == 2  # even where the base's is the best
    assert "among 2 points (grid search)" in text
    (folder / "exps" / "winners.yaml").write_text(text)
    for config, _ in reported:
        same = load_experiments().config(config["name"])
        assert same.identity() == {key: config[key] for key in same.identity()}
    assert "searched" in out
    assert yaml.safe_load(text).keys() == {"quickstart_dense_tuned", "split_digits_tuned"}


@pytest.mark.parametrize("partly", [pytest.param(False, marks=pytest.mark.slow), True])
def test_what_other_code_made_does_not_count_and_force_runs_all_again(folder, partly):
    content = {**GRID, "space": {}, "seeds": [0]}
    assert sweep(folder, content) == 0
    assert sweep(folder, content) == 0
    (path,) = find_results(folder / FOLDER)
    config, stats = load_result(path)
    stats["code_hashes"][0] = "another"
    stats["code_hash"] = stats["code_hash"] if partly else "another"
    path.write_bytes(pickle.dumps([config, stats], protocol=4))
    assert sweep(folder, content) == 0
    assert len(find_results(folder / FOLDER)) == 2
    assert sweep(folder, content, "--force") == 0
    assert len(find_results(folder / FOLDER)) == 3


def test_a_checkpoint_by_other_code_is_not_gone_on_from(folder, capsys):
    content = {**GRID, "space": {}, "seeds": [0]}
    (method,) = methods(folder, content).values()
    config = method.at({})
    checkpoint = checkpoint_path(folder / FOLDER, config, 0)
    run = Run(config, build_benchmark(config, 0, None), 0, torch.device("cpu"), Observer())
    run.code_hash = "another"
    run.run(checkpoint)
    assert sweep(folder, content) == 0
    assert "is by other code, begun anew" in capsys.readouterr().out
    (path,) = find_results(folder / FOLDER)
    assert set(load_result(path)[1]["code_hashes"]) == {provenance.code_hash()}


def test_a_trial_that_fails_costs_the_others_nothing(folder, capsys):
    content = {**TUNED, "experiments": ["quickstart_dense"], "space": {"lr": [1e30, 0.1]}}
    assert sweep(folder, content) == 1
    said = capsys.readouterr()
    assert (
        said.err.count("quickstart_dense lr=1e+30 seed 10") == said.err.count("stopped: ") == said.err.count("\n") == 2
    )
    text = (folder / FOLDER / "winners.yaml").read_text()
    assert "# 1 of them came to nothing or were stopped early." in text
    assert "# No runner-up." in text
    assert "chosen: lr=0.1" in text.lower()
    assert main(["sweep", "--status", FOLDER]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("quickstart_dense"))
    assert row.split()[1:7] == ["4", "2", "0", "0", "0", "6"]

    hopeless = {**content, "space": {"lr": [1e30, 1e31]}}
    assert sweep(folder, hopeless) == 2
    assert "quickstart_dense: none of its 2 points came to an end" in capsys.readouterr().err


def test_hours_that_are_over(folder, capsys):
    assert sweep(folder, {**GRID, "set": {**SMALL, "train_ep": 2000}}, "--max-hours", "0.0008") == 75
    assert "stopped after 0.0008 hours: the same command goes on" in capsys.readouterr().out
    assert events(folder)[-1]["line"].startswith("stopped after")
    assert not list((folder / FOLDER / "checkpoints").glob("*.lock"))


def test_damaged_results_are_named_before_anything_runs(folder, capsys):
    content = {**GRID, "space": {}}
    assert sweep(folder, content) == 0
    (folder / FOLDER / "former").mkdir()
    for path in (folder / FOLDER).glob("*_seed1.*"):
        path.rename(folder / FOLDER / "former" / path.name)
    damaged = [*find_results(folder / FOLDER), *find_results(folder / FOLDER / "former")]
    for path in damaged:
        path.write_bytes(b"x")
    capsys.readouterr()
    assert sweep(folder, {**content, "seeds": [2, 0, 1]}) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["error", str(path.relative_to(folder))] for path in damaged]
    assert all(line.endswith(": move it away") for line in lines)
    assert [event["event"] for event in events(folder)[-2:]] == ["plan", "end"]
    assert find_results(folder / FOLDER) == damaged[:1]


def test_a_dry_run_says_what_would_be_and_writes_nothing(folder, capsys):
    path = write(folder, TUNED)
    before = sorted(folder.rglob("*"))
    assert main(["sweep", str(path), "--dry-run"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("split_digits")]
    assert rows[0][1:] == ["2", "2", "2", "6"]
    assert rows[1][1] == "6"
    assert f"results would go to {FOLDER}/" in out
    assert "hours in all" in out
    assert sorted(folder.rglob("*")) == before


def test_random_points_are_those_of_a_shorter_search_and_more(folder):
    content = {**GRID, "space": {"lr": {"low": 0.01, "high": 0.2, "log": True}}, "search": "random"}

    def points(trials):
        (method,) = methods(folder, {**content, "trials": trials}).values()
        search = search_of(method.sweep, method.name, method.at)
        return list(iter(search.ask, None))

    longer = points(30)
    assert points(7) == longer[:7]
    assert len({point["lr"] for point in longer}) == 30


@pytest.mark.parametrize("metric", ["acc", "forgetting"])
def test_optuna_proposes_what_is_there_and_learns_from_what_it_is_told(folder, metric):
    pytest.importorskip("optuna")
    space = {
        "dropout": [0.0, 0.25, 0.5],
        "lr": {"low": 0.001, "high": 1.0, "log": True},
        "hidden_units": {"low": 10.0, "high": 99.0, "integer": True, "when": {"dropout": [0.0, 0.25]}},
    }
    content = {**GRID, "space": space, "search": "optuna", "report": {"seeds": [0]}}
    content |= {"seeds": ..., "select": {"seeds": [1], "trials": 60, "metric": metric}}
    (method,) = methods(folder, {key: value for key, value in content.items() if value is not ...}).values()
    search = search_of(method.sweep, method.name, method.at)
    points = []
    for point in iter(search.ask, None):
        assert method.at(point).lr == point["lr"]
        assert ("hidden_units" in point) is (point["dropout"] != 0.5)
        distance = abs(math.log10(point["lr"]) + 1)
        search.tell(point, math.nan if len(points) == 3 else distance if metric == "forgetting" else -distance)
        points.append(point)
    assert len(points) == 60
    late = [abs(math.log10(point["lr"]) + 1) for point in points[-20:]]
    assert np.median(late) < 0.5  # drawn evenly it would be .75 or so

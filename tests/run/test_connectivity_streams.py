"""The shipped streams with moving connections, on the digits: they run, move what they say, and keep their number."""

from pathlib import Path

import numpy as np
import pytest

from cl_sparse.cli import main
from cl_sparse.config.experiments import load_experiments
from cl_sparse.results import find_results, load_result

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = load_experiments([ROOT / "exps" / "connectivity_streams.yaml"]).select(["connectivity_streams"])
CONFIGS = {config.name: config for selection in SHIPPED for config in selection.configs}
SMALL = ["train_ep=2", "hidden_units=20", "train_subset=300", "mb_size=32", "weight_sparsity_fc=0.3"]


def test_every_rule_is_there_with_and_without_winners_in_every_stream():
    streams, rules = ("permuted", "split_class", "split_task"), ("static", "set", "rigl", "hebbian")
    expected = {f"connectivity_{s}_{r}{w}" for s in streams for r in rules for w in ("", "_winners")}
    assert set(CONFIGS) == expected
    for name, config in CONFIGS.items():
        assert (config.percent_on_fc < 1) is name.endswith("_winners")
        assert bool(config.plugins) is ("static" not in name)


@pytest.mark.parametrize(
    ("stream", "benchmark"),
    [("permuted", "PermutedDigits"), ("split_class", "SplitDigits"), ("split_task", "SplitDigits")],
)
def test_they_run(stream, benchmark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, f"benchmark={benchmark}", "num_batch=2" if stream == "permuted" else "num_batch=5"]
    names = [f"connectivity_{stream}_{rule}_winners" for rule in ("set", "rigl", "hebbian")]
    every = "plugins.dynamic_connectivity.every"
    for name in names:
        own = [f"{every}=1"] if "rigl" in name else []
        assert main(["run", "--seeds", "1", "--threads", "1", "--quiet", "--name", name, "--set", *words, *own]) == 0
    found = {config["name"]: stats for config, stats in map(load_result, find_results(Path("results")))}
    assert set(found) == set(names)
    for stats in found.values():
        changes = stats["mechanisms"]["dynamic_connectivity"]["changes"]
        layers = changes[0]["layers"]
        assert {change["task"] for change in changes} == set(range(len(stats["accs"])))
        assert all(change["layers"][name]["live"] == layers[name]["live"] for change in changes for name in layers)
        assert sum(own["moved"] for change in changes for own in change["layers"].values()) > 0
        assert np.isfinite(stats["accs"]).all()

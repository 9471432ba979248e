"""Training on one data set as a whole: an experiment like any other, with the shipped ones on the digits."""

from pathlib import Path

import numpy as np
import pytest

from cl_sparse.cli import main
from cl_sparse.config.experiments import load_experiments
from cl_sparse.results import find_results, load_result
from cl_sparse.sweep.protocol import methods_of
from cl_sparse.sweep.spec import load_sweep
from tests.sweep.sweeps import write

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"dataset": "digits", "train_ep": 2}
NARROW = {**SMALL, "hidden_units": 30}
SHIPPED = load_experiments([ROOT / "exps" / "dynamic_connectivity.yaml"]).select(["*"])
CONFIGS = {config.name: config for selection in SHIPPED for config in selection.configs}
NAMES = sorted(name for name, config in CONFIGS.items() if config.train_ep > 1)  # SetRBM passes over the data once


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def results(folder):
    return {(c["name"], s["seed"]): s for c, s in map(load_result, find_results(Path(folder)))}


def test_the_shipped_ones_run_one_after_another_as_side_by_side():
    words = [f"{key}={value}" for key, value in SMALL.items()]
    common = ["run", "--seeds", "1", "--threads", "1", "--set", *words, "--results-dir"]
    assert main([*common, "alone", "--name", *NAMES]) == 0
    found = results("alone")
    assert {name for name, _ in found} == set(NAMES)
    assert main([*common, "side", "--jobs", "2", "--name", "MixedHeb", "SparseNet"]) == 0
    for key, side in results("side").items():
        assert found[key]["per_epoch"]["test_loss"].tolist() == side["per_epoch"]["test_loss"].tolist()
    for stats in found.values():
        assert stats["accs"].shape == (1, 1)
        assert stats["per_epoch"]["test_accuracy"][-1] == stats["accs"][0, 0]
    assert len(found["SET", 0]["per_epoch"]["noise_accuracy"]) == 2
    np.testing.assert_array_equal(found["SET", 0]["accs"], found["DSNN", 0]["accs"])


def test_a_sweep_over_shares_of_rules(tmp_path):
    rule = "plugins.dynamic_connectivity.drop"
    grid = {
        "experiments": ["MixedHeb"],
        "set": NARROW,
        "space": {f"{rule}.coactivation": [0, 0.5], f"{rule}.signed_magnitude": [0.5]},
        "seeds": [0],
    }
    command = ["sweep", str(write(tmp_path, grid)), "--jobs", "2", "--executor", "local"]
    assert main(command) == 0
    found = [load_result(path) for path in find_results(Path("results/sweeps/s"))]
    shares = [config["plugins"][-1]["drop"] for config, _ in found]
    assert sorted(share["coactivation"] for share in shares) == [0, 0.5]
    moved = [stats["mechanisms"]["dynamic_connectivity"]["changes"] for _, stats in found]
    assert all(change["layers"]["features.fc1.module.weight"]["moved"] > 0 for (change,) in moved)
    assert main(command) == 0
    assert len(find_results(Path("results/sweeps/s"))) == 2


def test_the_nets_with_masks():
    words = ["dataset=digits", "test_subset=null", "train_subset=400", "train_ep=2", "kernel_size=3"]
    names = ["HebbDemoDense", "HebbDemo", "HebbDemoOriginal", "WideResNetDense", "WideResNetHebb"]
    common = ["run", "--seeds", "1", "--threads", "1", "--set", *words, "--results-dir", "masks"]
    assert main([*common, "--name", *names]) == 0
    found = results("masks")
    assert set(found) == {(name, 0) for name in names}
    for (name, _), stats in found.items():
        shares = stats.get("mechanisms", {}).get("hebb_mask", {}).get("live", {})
        assert list(shares) == ([] if "Dense" in name else ["classifier.linear"])
        assert all(len(share) == 2 for share in shares.values())


SWEEPS = [
    path.stem for path in (ROOT / "exps" / "sweeps").glob("*.yaml") if path.stem.startswith(("connectivity_", "hebb"))
]


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_the_sweeps_name_what_there_is(name):
    sweep = load_sweep(ROOT / "exps" / "sweeps" / f"{name}.yaml")
    for method in methods_of(sweep, load_experiments()):
        space = sweep.space_of(method.name)
        for key, dimension in space.items():
            assert method.at({key: dimension.choose[-1]}).plugins

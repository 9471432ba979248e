"""The committed results are what the code gives, as far as a test can afford to look."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cl_sparse.config import build_config
from cl_sparse.config.experiments import load_experiments
from cl_sparse.config.identity import differing
from cl_sparse.report import group_results
from cl_sparse.results import find_results, load_result
from cl_sparse.run import build
from cl_sparse.run.earlier import Earlier, EarlierResults
from cl_sparse.run.one_run import Observer, Run
from cl_sparse.sweep.spec import load_sweep

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "results" / "published"
RESULTS = find_results(PUBLISHED)
SWEEPS = [load_sweep(path) for path in sorted((ROOT / "exps" / "sweeps").glob("*.yaml"))]
VARIED = {name for sweep in SWEEPS if sweep.select is None for name in sweep.experiments}  # by a study


@pytest.mark.parametrize("kind", ["dense", "sparse", "dense_cumul", "sparse_cumul"])
def test_the_quick_start_gives_its_committed_accuracies(kind: str, tmp_path: Path) -> None:
    stored, stats = load_result(find_results(PUBLISHED, f"quickstart_{kind}")[0])
    seed, name = stored.pop("seed"), stored.pop("name")
    config = build_config(name, stored)
    run = Run(config, build.build_benchmark(config, seed, None), seed, torch.device("cpu"), Observer())
    accs = run.run(tmp_path / "c.pt")["accs"]
    # On the machine that made them, all 25 are the same bit for bit; another rounds differently.
    np.testing.assert_allclose(np.nanmean(accs), np.nanmean(stats["accs"]), atol=0.02)
    np.testing.assert_allclose(accs, stats["accs"], atol=0.1)


@pytest.fixture(scope="module")
def earlier() -> EarlierResults:
    return EarlierResults(PUBLISHED, None)  # reads each file once


@pytest.mark.parametrize("pack", sorted({path.parent for path in RESULTS}), ids=lambda pack: pack.name.split(".")[0])
def test_committed_results_count_as_finished(pack: Path, earlier: EarlierResults) -> None:
    for stored, stats in (load_result(path) for path in RESULTS if path.parent == pack):
        settings = {key: value for key, value in stored.items() if key not in ("seed", "name")}
        config = build_config(stored["name"], settings)
        assert differing(stored, config.identity()) == []
        assert earlier.of(config, stats["seed"])
        if stats["benchmark"]["dataset"] == "digits":  # which are always at hand
            assert isinstance(earlier.find(config, stats["seed"]), Earlier)


def test_committed_results_finish_the_shipped_experiments_and_are_all_in_the_tables(earlier: EarlierResults) -> None:
    results = [load_result(path) for path in RESULTS]
    groups = group_results(results)
    assert sum(len(group.results) for group in groups) == len(results)
    # One setting per experiment, but for what a study varies.
    names = [(group.label, group.results[0][0]["name"]) for group in groups]
    assert {name for label, name in names if label != name} <= VARIED
    assert len({label for label, _ in names}) == len(names)
    quick = load_experiments([ROOT / "exps"]).select(["quickstart"])[0]
    for config in quick.configs:
        for seed in range(config.seeds):
            assert isinstance(earlier.find(config, seed), Earlier)

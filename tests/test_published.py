"""The committed results are what the code gives, as far as a test can afford to look."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cl_sparse.config import build_config
from cl_sparse.results import find_results, load_result
from cl_sparse.run import build
from cl_sparse.run.one_run import Observer, Run

PUBLISHED = Path(__file__).resolve().parent.parent / "results" / "published"


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

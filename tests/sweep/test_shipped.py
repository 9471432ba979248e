"""The sweeps that come with the project can be planned."""

from pathlib import Path

import pytest

from cl_sparse.config.experiments import load_experiments
from cl_sparse.sweep.protocol import methods_of
from cl_sparse.sweep.search import search_of
from cl_sparse.sweep.spec import load_sweep

FILES = sorted((Path(__file__).resolve().parents[2] / "exps" / "sweeps").glob("*.yaml"))


@pytest.fixture(scope="module")
def catalogue():
    return load_experiments()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_shipped_sweep_has_the_points_that_it_says(file, catalogue):
    sweep = load_sweep(file)
    for method in methods_of(sweep, catalogue):
        if sweep.search == "grid" and sweep.points_wanted is not None:
            search_of(sweep, method.name, method.at)
        else:
            assert method.at({}).name == method.name

"""Shared fixtures. Importing compat first makes torchvision and Avalanche importable beside a CPU-only torch."""

from tests.spread import SPREAD

# isort: split
import cl_sparse.compat

# isort: split
import os

import matplotlib as mpl
import pytest
import torch
from hypothesis import HealthCheck, settings

from benchmarks.base import Benchmark
from cl_sparse.config import ExperimentConfig, build_config
from cl_sparse.run import build
from cl_sparse.run.executors.local import start_fork_server
from cl_sparse.run.one_run import Observer, Run
from tests.learner_examples import LEARNERS

mpl.use("Agg")
# No timed checks: a busy machine is no failure. In CI the same examples every time.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("suite")

SMALL = {
    "benchmark": "SplitDigits",
    "hidden_units": 50,
    "mb_size": 32,
    "train_ep": 2,
    "dropout": 0.2,
    "lr": 0.05,
}
SPARSE = {
    "sparsify": True,
    "percent_on_fc": 0.1,
    "weight_sparsity_fc": 0.3,
    "k_inference_factor": 1.5,
    "boost_strength": 1.4,
    "boost_strength_factor": 0.7,
}


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> None:
    """Start the one that all processes of this one come of, before a command does that needs less of it imported."""
    start_fork_server("cl_sparse.run.session")


def pytest_runtest_setup() -> None:
    """Begin each test with one thread, whatever the last one took."""
    if SPREAD:
        torch.set_num_threads(1)


def small_config(**changes: object) -> ExperimentConfig:
    """Return a small experiment on the bundled digits."""
    return build_config("small", {**SMALL, **changes})


def small_benchmark(config: ExperimentConfig, seed: int = 0) -> Benchmark:
    """Return the config's stream."""
    return build.build_benchmark(config, seed, None)


@pytest.fixture
def make_run():
    """Return a function that builds a run on the digits, on the CPU."""

    def make(seed: int = 0, **changes: object) -> Run:
        config = small_config(**changes)
        return Run(config, small_benchmark(config, seed), seed, torch.device("cpu"), Observer())

    return make


@pytest.fixture(params=sorted(LEARNERS))
def learner_config(request):
    """Return the changes that make the small experiment use one learner."""
    return LEARNERS[request.param]

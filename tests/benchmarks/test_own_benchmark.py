"""A benchmark of one's own: one file, and one line in the registry."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from benchmarks.base import Benchmark, normalized
from cl_sparse.config import build_config
from cl_sparse.config.registry import BENCHMARKS, Stream
from cl_sparse.data.image_data import make_image_data
from cl_sparse.errors import UserError
from cl_sparse.run import build
from cl_sparse.run.one_run import Observer, Run

SMALL = {"benchmark": "TwoBlobs", "hidden_units": 10, "train_ep": 3, "mb_size": 8, "dropout": 0, "lr": 0.05}


class TwoBlobs(Benchmark):
    """Two classes, apart by their first number."""

    def __init__(self, n_tasks=1, *, scenario="domain", **options):
        x = torch.randn(40, 5, generator=torch.Generator().manual_seed(options["seed"]))
        y = torch.arange(40) % 2
        x[:, 0] += 6 * y
        data = make_image_data("blobs", (x, y), (x, y), ("left", "right"), "drawn")
        classes = [[0, 1]] * n_tasks
        super().__init__(
            normalized(data, "unit"), name="blobs", scenario=scenario, task_classes=classes, options=options
        )


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    module = ModuleType("my_module")
    module.TwoBlobs = TwoBlobs
    monkeypatch.setitem(sys.modules, "my_module", module)
    monkeypatch.setitem(BENCHMARKS, "TwoBlobs", Stream("my_module:TwoBlobs"))


@pytest.mark.parametrize("changes", [{}, {"scenario": "task"}, {"scenario": "class", "loss_outputs": "seen"}])
def test_it_runs(changes, tmp_path):
    config = build_config("mine", {**SMALL, **changes})
    run = Run(config, build.build_benchmark(config, 0, None), 0, torch.device("cpu"), Observer())
    stats = run.run(tmp_path / "c.pt")
    assert np.shape(stats["accs"]) == (1, 1)
    assert stats["accs"][0, 0] > 0.9
    assert stats["scenario"] == changes.get("scenario", "domain")
    assert stats["benchmark"]["dataset"] == "blobs"


@pytest.mark.parametrize("setting", [{"dataset": "mnist"}, {"class_order": "random"}, {"max_angle": 5}])
def test_what_only_other_streams_have_is_refused(setting):
    with pytest.raises(UserError, match=rf"mine\.{next(iter(setting))}: TwoBlobs .* choose null"):
        build_config("mine", {**SMALL, **setting})

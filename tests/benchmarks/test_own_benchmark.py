"""A benchmark of one's own: one file, and one line in the registry."""

import sys
from types import ModuleType
from typing import Annotated

import numpy as np
import pytest
import torch
from pydantic import Field

from benchmarks.base import Benchmark, DataOptions, normalized
from cl_sparse.config import build_config
from cl_sparse.config.experiments import load_experiments, parse_overrides
from cl_sparse.config.registry import BENCHMARKS, STREAM_PARAMETERS, Stream
from cl_sparse.data.image_data import make_image_data
from cl_sparse.errors import UserError
from cl_sparse.run import build
from cl_sparse.run.one_run import Observer, Run

SMALL = {"benchmark": "TwoBlobs", "hidden_units": 10, "train_ep": 3, "mb_size": 8, "dropout": 0, "lr": 0.05}


class TwoBlobs(Benchmark):
    """Two classes, apart by their first number."""

    def __init__(
        self, n_tasks=1, *, scenario="domain", noise: Annotated[float, Field(ge=0)] = 1.0, words: int = 5, **options
    ):
        x = noise * torch.randn(40, words, generator=torch.Generator().manual_seed(options["seed"]))
        y = torch.arange(40) % 2
        x[:, 0] += 6 * y
        data = make_image_data("blobs", (x, y), (x, y), ("left", "right"), "drawn")
        classes = [[0, 1]] * n_tasks
        super().__init__(
            normalized(data, "unit"),
            name="blobs",
            scenario=scenario,
            task_classes=classes,
            options=options,
            settings={"noise": noise},
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


def test_its_own_arguments_are_set_in_a_file_and_by_set(tmp_path):
    (tmp_path / "a.yaml").write_text("Mine: {benchmark: TwoBlobs, stream: {words: 7}}")
    catalogue = load_experiments([tmp_path])
    config = catalogue.config("Mine", parse_overrides(["stream.noise=2"]))
    assert config.stream == {"noise": 2.0, "words": 7}
    assert config.identity()["stream"] == config.stream
    benchmark = build.build_benchmark(config, 0, None)
    assert (benchmark.input_shape, benchmark.describe()["noise"]) == ((7,), 2.0)
    assert catalogue.config("Mine", {"stream.words": 5}).stream == {"noise": 1.0, "words": 5}


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("stream.noise=-1", "--set stream.noise: -1.* is out of range: at least 0"),
        ("stream.nose=1", "--set stream.nose: unknown argument, did you mean noise"),
        ("stream.n_tasks=1", "--set stream.n_tasks: unknown argument"),
        ("stream.words=x", "--set stream.words: 'x' is text: a whole number is needed"),
        ("stream=3", "--set stream: 3 is a whole number: a mapping is needed"),
        ("stream={noise: -1}", "--set stream.noise: -1.* is out of range"),
    ],
)
def test_its_own_arguments_are_checked(tmp_path, setting, line):
    (tmp_path / "a.yaml").write_text("Mine: {benchmark: TwoBlobs}")
    with pytest.raises(UserError, match=line):
        load_experiments([tmp_path]).config("Mine", parse_overrides([setting]))


def test_benchmarks_without_arguments_of_their_own_take_none():
    for benchmark in ({"benchmark": "mnist", "mnist_mode": "split"}, {"benchmark": "SplitDigits"}):
        with pytest.raises(UserError, match=r"mine\.stream\.noise: unknown argument: it takes none"):
            build_config("mine", {**benchmark, "stream": {"noise": 1}})
    with pytest.raises(UserError, match="unknown benchmark 'TwoBlob', did you mean TwoBlobs"):
        build_config("mine", {"benchmark": "TwoBlob", "stream": {"noise": 1}})


def test_the_experiments_parameters_are_not_its_own():
    options = {*DataOptions.__annotations__, "n_tasks", "scenario", "dataset", "class_order", "max_angle"}
    assert options == STREAM_PARAMETERS

import json

import pytest
import torch

import benchmarks
from benchmarks import PermutedDigits, RotatedMNIST, SplitDigits
from cl_sparse.errors import UserError

# isort: split
from avalanche.benchmarks.scenarios import CLScenario, EagerCLStream

MAKERS = {
    "permuted": lambda **kw: PermutedDigits(5, **kw),
    "rotated": lambda **kw: RotatedMNIST(5, dataset="digits", **kw),
    "split_task": lambda **kw: SplitDigits(5, "task", **kw),
    "split_domain": lambda **kw: SplitDigits(5, "domain", **kw),
    "split_class": lambda **kw: SplitDigits(5, "class", **kw),
}


@pytest.fixture(params=MAKERS, scope="module")
def benchmark(request):
    return MAKERS[request.param](validation=0.1, seed=2)


def test_it_is_an_avalanche_benchmark(benchmark) -> None:
    assert isinstance(benchmark, CLScenario)
    assert set(benchmark.streams) == set(benchmark.tensors) == {"train", "test", "val"}
    for split in ("train", "test", "val"):
        stream = getattr(benchmark, f"{split}_stream")
        assert isinstance(stream, EagerCLStream)
        assert (stream.name, len(stream), stream.benchmark) == (split, 5, benchmark)


def test_experiences(benchmark) -> None:
    for split, tensors in benchmark.tensors.items():
        for task, experience in enumerate(getattr(benchmark, f"{split}_stream")):
            assert experience.current_experience == task
            told = task if benchmark.scenario == "task" else 0
            assert (experience.task_label, experience.task_labels) == (told, [told])
            assert experience.origin_stream.name == split
            assert len(experience.dataset) == len(tensors.task_ids(task))
            assert set(experience.dataset.targets.uniques) == set(experience.classes_in_this_experience)


def test_the_classes_timeline() -> None:
    class_incremental, domain = SplitDigits(5, "class").train_stream, SplitDigits(5, "domain").train_stream
    third = class_incremental[2]
    assert third.classes_in_this_experience == [4, 5]
    assert third.previous_classes == [0, 1, 2, 3]
    assert third.classes_seen_so_far == [0, 1, 2, 3, 4, 5]
    assert third.future_classes == [6, 7, 8, 9]
    assert domain[2].classes_in_this_experience == domain[2].previous_classes == [0, 1]
    assert domain[0].previous_classes == domain[0].future_classes == []


def test_streams_are_sliceable(benchmark) -> None:
    part = benchmark.train_stream[2:5]
    assert [e.current_experience for e in part] == [2, 3, 4]
    assert [e.current_experience for e in benchmark.test_stream[::-2]] == [4, 2, 0]
    assert part[1:][0].dataset is benchmark.train_stream[3].dataset
    assert len(benchmark.val_stream[:0]) == 0


def test_without_validation_there_is_no_stream_for_it() -> None:
    benchmark = PermutedDigits(2)
    assert benchmark.val_stream is None
    assert set(benchmark.tensors) == set(benchmark.streams) == {"train", "test"}


def test_training_sees_no_private_attributes(benchmark) -> None:
    experience = benchmark.train_stream[1].train()
    with pytest.raises(ValueError, match="current_experience is not available"):
        _ = experience.current_experience
    assert len(experience.dataset) > 0


def test_describe_is_plain_and_complete(benchmark) -> None:
    told = benchmark.describe()
    assert json.loads(json.dumps(told)) == told
    assert (told["source"], told["seed"], told["n_tasks"]) == ("scikit-learn digits", 2, 5)
    assert told["samples"]["val"] == [len(e.dataset) for e in benchmark.val_stream]
    assert told["task_classes"] == benchmark.task_classes
    assert {"train_subset", "test_subset", "fingerprint", "scenario", "validation", "class_names"} <= set(told)


def test_the_data_set_is_shared_not_copied() -> None:
    one, other = PermutedDigits(2, validation=0.5), SplitDigits()
    assert one.tensors["train"].x is one.tensors["val"].x is other.tensors["train"].x


def test_moving_returns_the_benchmark(benchmark) -> None:
    assert benchmark.to(torch.device("cpu")) is benchmark
    assert benchmark.tensors["val"].x is benchmark.tensors["train"].x


def test_all_names_are_exported() -> None:
    assert all(hasattr(benchmarks, name) for name in benchmarks.__all__)


@pytest.mark.parametrize("make", [PermutedDigits, SplitDigits])
def test_unit_normalisation_gives_pixels_from_0_to_1(make):
    unit, standard = make(5, normalize="unit"), make(5)
    x = unit.tensors["train"].batch(torch.arange(200))[0]
    assert x.min() == 0
    assert x.max() == 1
    raw = unit.tensors["train"].x[unit.tensors["train"].rows(0)][:200].float() / 16
    torch.testing.assert_close(x, raw)
    every = torch.cat([standard.tensors["train"].batch(standard.tensors["train"].task_ids(t))[0] for t in range(5)])
    assert abs(float(every.mean())) < 1e-4
    assert float(every.std()) == pytest.approx(1, abs=1e-3)
    assert unit.describe()["normalize"] == "unit"


def test_an_unknown_normalisation_or_argument_is_refused():
    with pytest.raises(UserError, match="normalize: 'minmax' is not known; choose standard or unit"):
        SplitDigits(normalize="minmax")
    with pytest.raises(TypeError, match="train_size"):
        SplitDigits(train_size=3)

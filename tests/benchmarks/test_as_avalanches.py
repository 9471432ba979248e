"""What users of Avalanche's benchmarks look for."""

import pytest
import torch

import cl_sparse.compat

# isort: split
from avalanche.benchmarks import nc_benchmark

from benchmarks import PermutedDigits, RotatedMNIST, SplitDigits
from benchmarks.counterparts import COUNTERPARTS

ORDER = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
ATTRIBUTES = (
    "n_experiences",
    "n_classes",
    "n_classes_per_exp",
    "classes_order",
    "classes_order_original_ids",
    "original_classes_in_exp",
    "task_labels",
)


def theirs(scenario):
    """Return Avalanche's benchmark of ten classes in that order."""
    data = torch.utils.data.TensorDataset(torch.randn(30, 4), torch.arange(30) % 10)
    data.targets = (torch.arange(30) % 10).tolist()
    from_zero = {"class_ids_from_zero_in_each_exp": scenario != "class"}
    return nc_benchmark(data, data, 5, task_labels=scenario == "task", fixed_class_order=ORDER, **from_zero)


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_a_benchmark_has_the_attributes_of_avalanches(scenario):
    ours, expected = SplitDigits(scenario=scenario, class_order=ORDER, validation=0.1), theirs(scenario)
    for name in ATTRIBUTES:
        assert getattr(ours, name) == getattr(expected, name), name
    for split in ("train", "test", "val"):
        counterpart = expected.classes_in_experience["test" if split == "val" else split]
        assert ours.classes_in_experience[split] == list(counterpart)


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_an_experience_has_the_attributes_of_avalanches(scenario):
    ours, expected = SplitDigits(scenario=scenario, class_order=ORDER), theirs(scenario)
    for mine, other in zip(ours.train_stream, expected.train_stream, strict=True):
        assert mine.benchmark is ours
        for name in ("task_label", "task_labels", "current_experience"):
            assert getattr(mine, name) == getattr(other, name), name
        for name in ("classes_in_this_experience", "previous_classes", "classes_seen_so_far"):
            assert set(getattr(mine, name)) == set(getattr(other, name)), name


def test_a_permuted_benchmark_has_them_too():
    benchmark = PermutedDigits(2)
    assert benchmark.n_classes_per_exp == [10, 10]
    assert benchmark.classes_order == [*range(10), *range(10)]
    assert benchmark.classes_in_experience["test"] == [set(range(10))] * 2
    assert benchmark.task_labels == [[0], [0]]


def test_a_strategy_may_replace_an_experiences_data_for_itself():
    stream = SplitDigits().train_stream
    for experience in stream:
        experience.dataset = experience.dataset.subset([0, 1])
        assert len(experience.dataset) == 2
    assert min(len(experience.dataset) for experience in stream) > 200


@pytest.mark.parametrize("name", COUNTERPARTS)
@pytest.mark.parametrize("make", [SplitDigits, PermutedDigits, RotatedMNIST])
def test_an_argument_of_avalanches_is_answered_with_ours(make, name):
    with pytest.raises(TypeError) as caught:
        make(**{name: None})
    message = str(caught.value)
    assert f"has no argument {name} (here: {COUNTERPARTS[name]})" in message
    assert "\n" not in message


def test_an_argument_of_nobodys_is_named():
    with pytest.raises(TypeError, match=r"split_digits has no argument n_experiences \(here: n_tasks\), train_size$"):
        SplitDigits(train_size=3, n_experiences=4)

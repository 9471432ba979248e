import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import PermutedDigits, PermutedMNIST
from benchmarks.permutations import PixelPermutations, draw_permutations
from cl_sparse.errors import UserError


@settings(max_examples=30, deadline=None)
@given(n_tasks=st.integers(1, 8), n=st.integers(1, 50), seed=st.integers(0, 2**40))
def test_permutations_are_bijections_and_follow_the_seed(n_tasks: int, n: int, seed: int) -> None:
    permutations = draw_permutations(n_tasks, n, seed)
    assert torch.equal(permutations.sort(1).values, torch.arange(n).repeat(n_tasks, 1))
    assert torch.equal(permutations[0], torch.arange(n))
    assert torch.equal(permutations, draw_permutations(n_tasks, n, seed))
    assert torch.equal(permutations, draw_permutations(n_tasks + 3, n, seed)[:n_tasks])


def test_tasks_and_seeds_differ() -> None:
    first, second = draw_permutations(10, 64, 0), draw_permutations(10, 64, 1)
    rows = {tuple(row.tolist()) for row in torch.cat([first, second[1:]])}
    assert len(rows) == 19


def test_channels_are_permuted_alike() -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    x = torch.randint(0, 256, (5, 3, 3, 4), dtype=torch.uint8)
    y = PixelPermutations(torch.stack([torch.arange(12), order]))(x, torch.tensor([1, 0, 1, 1, 0]))
    for i, permuted in enumerate([True, False, True, True, False]):
        expected = x[i].flatten(1)[:, order] if permuted else x[i].flatten(1)
        assert torch.equal(y[i].flatten(1), expected)


def test_every_task_has_all_samples_and_labels() -> None:
    benchmark = PermutedDigits(4)
    stream = benchmark.tensors["test"]
    natural, labels, _ = stream.batch(stream.task_ids(0))
    for task in range(4):
        x, y, _ = stream.batch(stream.task_ids(task))
        assert torch.equal(y, labels)
        assert bool((stream.locate(stream.task_ids(task))[2] == task).all())
        assert torch.equal(x.flatten(1), natural.flatten(1)[:, benchmark.permutations[task]])
    assert benchmark.task_classes == [list(range(10))] * 4
    assert (benchmark.n_outputs, benchmark.input_shape, benchmark.scenario) == (10, (1, 8, 8), "domain")


def test_the_seed_draws_the_permutations_only() -> None:
    one, same, other = (PermutedDigits(3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.permutations, same.permutations)
    assert not torch.equal(one.permutations, other.permutations)
    assert torch.equal(one.tensors["train"].x, other.tensors["train"].x)


def test_a_hundred_tasks_cost_little_more_than_one() -> None:
    benchmark = PermutedDigits(100)
    stored = sum(t.numel() * t.element_size() for t in (benchmark.tensors["train"].x, benchmark.permutations))
    assert len(benchmark.train_stream) == 100
    assert stored < 1347 * 64 + 100 * 64 * 8 + 1


def test_scenarios() -> None:
    assert PermutedDigits(2, scenario="task").scenario == "task"
    for scenario in ("class", "tsk"):
        with pytest.raises(
            UserError, match=f"scenario: '{scenario}' makes no sense for permuted_digits; choose domain or"
        ):
            PermutedDigits(2, scenario=scenario)
    with pytest.raises(UserError, match="num_batch: 0 tasks"):
        PermutedDigits(0)


def test_permuted_mnist_takes_any_data_set() -> None:
    assert PermutedMNIST(2, dataset="digits").describe() == PermutedDigits(2).describe()

import random
import warnings

import pytest
import torch

from benchmarks import PermutedDigits, SplitDigits
from cl_sparse.data import TaskData, ids

# isort: split
from avalanche.benchmarks.utils import concat_datasets
from avalanche.training import Naive
from avalanche.training.plugins import LwFPlugin, ReplayPlugin
from avalanche.training.storage_policy import ClassBalancedBuffer, ExperienceBalancedBuffer


@pytest.fixture(scope="module")
def split() -> SplitDigits:
    return SplitDigits()


def test_a_sample_is_x_y_t_as_in_the_batch(split) -> None:
    dataset = split.train_stream[2].dataset
    x, y, t = dataset[7]
    bx, by, bt = split.tensors["train"].batch(split.tensors["train"].task_ids(2)[7:8])
    assert torch.equal(x, bx[0])
    assert (y, t) == (by.item(), bt.item())
    assert isinstance(y, int)


def test_length_targets_task_labels_and_task_set(split) -> None:
    dataset = split.train_stream[3].dataset
    assert len(dataset) == len(split.tensors["train"].task_ids(3)) == len(dataset.targets)
    assert list(dataset.targets) == split.tensors["train"].labels(3).tolist()
    assert dataset.targets_task_labels.uniques == {3}
    assert list(dataset.task_set) == [3]
    assert len(dataset.task_set[3]) == len(dataset)


def test_task_set_of_a_concatenation(split) -> None:
    union = concat_datasets([split.train_stream[t].dataset for t in (0, 2)])
    assert sorted(union.task_set) == [0, 2]
    assert torch.equal(ids(union.task_set[2]), split.tensors["train"].task_ids(2))


def test_a_sample_outside_the_task_is_an_index_error(split) -> None:
    leaf = TaskData(split.tensors["test"], 1)
    with pytest.raises(IndexError, match="of task 1, which has"):
        leaf[len(leaf)]
    assert torch.equal(leaf[-1][0], leaf[len(leaf) - 1][0])


def test_a_hundred_tasks_share_their_targets() -> None:
    stream = PermutedDigits(100).train_stream
    lists = {id(e.dataset.targets.data._datasets[0]) for e in stream}
    assert len(lists) == 1


@pytest.mark.parametrize("buffer", [ExperienceBalancedBuffer, ClassBalancedBuffer])
def test_replay_buffers_hold_ids_of_the_stream(split, buffer) -> None:
    torch.manual_seed(0)
    memory = buffer(max_size=30)
    for experience in split.train_stream:
        memory.post_adapt(None, experience)
    kept = ids(memory.buffer)
    assert len(kept) == len(memory.buffer) > 0
    _, y, t = split.tensors["train"].batch(kept)
    assert y.tolist() == list(memory.buffer.targets)
    assert t.tolist() == list(memory.buffer.targets_task_labels)


def test_avalanche_own_loop_trains_and_tests_on_the_stream() -> None:
    torch.manual_seed(0)
    random.seed(0)
    split = SplitDigits(scenario="domain", train_subset=200, test_subset=100)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    strategy = Naive(
        model=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        train_mb_size=16,
        eval_mb_size=32,
        plugins=[ReplayPlugin(mem_size=20), LwFPlugin()],
        evaluator=None,
    )
    before = net[1].weight.clone()
    with warnings.catch_warnings(record=True):  # Avalanche's replay calls what it deprecates, and insists on saying so
        for experience in split.train_stream[:3]:
            strategy.train(experience)
        strategy.eval(split.test_stream[:2])
    assert not torch.equal(before, net[1].weight)

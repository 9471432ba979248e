"""Our layers and plugins in a plain Avalanche script, with Avalanche's strategy, loaders and benchmark."""

import warnings

import torch
from torch import nn
from torch.utils.data import TensorDataset

import cl_sparse.compat

# isort: split
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.benchmarks.utils.data_attribute import TaskLabels
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from avalanche.training.supervised import Naive

from cl_sparse.layers import KWinners, SparseWeights
from cl_sparse.plugins import DecayBoostStrength, Replay, RezeroWeights, StopOnDivergence


def task(n=64):
    """Return random samples of two classes as Avalanche itself would hold them."""
    targets = DataAttribute(torch.randint(2, (n,)).tolist(), "targets")
    labels = TaskLabels(ConstantSequence(0, n))
    samples = TensorDataset(torch.randn(n, 20), torch.tensor(targets.data))
    return TaskAwareSupervisedClassificationDataset([samples], data_attributes=[targets, labels])


def strategy_with(net, plugins):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Avalanche's own: no loggers
        return Naive(
            model=net,
            optimizer=optimizer,
            criterion=nn.CrossEntropyLoss(),
            train_mb_size=16,
            train_epochs=2,
            plugins=plugins,
            evaluator=None,
        )


def test_sparse_layers_and_their_plugins_on_avalanche_data():
    torch.manual_seed(0)
    data = [task() for _ in range(2)]
    benchmark = benchmark_from_datasets(train=data, test=data)
    winners = KWinners(30, 0.2, boost_strength=1.0, boost_strength_factor=0.5)
    sparse = SparseWeights(nn.Linear(20, 30), sparsity=0.7)
    net = nn.Sequential(sparse, winners, nn.Linear(30, 2))
    strategy = strategy_with(net, [RezeroWeights(), DecayBoostStrength(), StopOnDivergence()])
    for experience in benchmark.train_stream:
        strategy.train(experience)
    assert torch.all(sparse.module.weight[sparse.zero_mask.bool()] == 0)
    assert float(winners.boost_strength) == 0.5**4


def test_replay_works_on_our_benchmarks_under_avalanches_own_strategy(make_run):
    benchmark = make_run(scenario="domain").benchmark
    replay = Replay(mem_size=40)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    strategy = strategy_with(net, [replay])
    for experience in benchmark.train_stream[:3]:
        strategy.train(experience)
    assert [len(kept) for kept in replay.memory] == [14, 13, 13]

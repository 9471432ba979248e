import pytest
import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.benchmarks import split_online_stream
from avalanche.training.supervised import Naive

from benchmarks import SplitDigits
from cl_sparse.plugins import Cumulative, Plugin
from cl_sparse.strategies import Learner
from tests.native import native_benchmark, silent


class Labels(Plugin):
    """Keeps the labels of all samples of each training."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def before_training_exp(self, strategy, **kwargs):
        self.seen.append([])

    def after_training_iteration(self, strategy, **kwargs):
        self.seen[-1] += strategy.mb_y.tolist()


def seen_by(kind, experiences):
    torch.manual_seed(0)
    labels = Labels()
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    strategy = silent(kind, model=net, plugins=[Cumulative(), labels])
    for experience in experiences:
        strategy.train(experience, eval_streams=[])
    return [sorted(seen) for seen in labels.seen]


def targets(stream, *tasks):
    return sorted(int(y) for task in tasks for y in stream[task].dataset.targets)


@pytest.mark.parametrize("kind", ["Learner", "Avalanche's loader", "Avalanche's stream"])
def test_it_adds_what_was_trained_on_in_whatever_order(kind):
    benchmark = SplitDigits(scenario="class")
    stream = (native_benchmark(benchmark) if kind == "Avalanche's stream" else benchmark).train_stream
    got = seen_by(Learner if kind == "Learner" else Naive, [stream[3], stream[1], stream[3]])
    assert got == [targets(stream, 3), targets(stream, 3, 1), targets(stream, 3, 1)]


def test_on_a_stream_of_single_batches():
    stream = split_online_stream(SplitDigits(scenario="class").train_stream, 50, seed=0)
    experiences = [experience for experience, _ in zip(stream, range(4), strict=False)]
    got = seen_by(Learner, experiences)
    assert [len(seen) for seen in got] == [50, 100, 150, 200]
    assert got[-1] == sorted(int(y) for experience in experiences for y in experience.dataset.targets)


def test_its_state_is_the_places_in_the_stream():
    stream, first = SplitDigits(scenario="class").train_stream, Cumulative()
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    silent(Learner, model=net, plugins=[first]).train(stream[2], eval_streams=[])
    assert first.state_dict() == {"trained": [2]}
    second, labels = Cumulative(), Labels()
    second.load_state_dict(first.state_dict())
    silent(Learner, model=net, plugins=[second, labels]).train(stream[4], eval_streams=[])
    assert sorted(labels.seen[0]) == targets(stream, 2, 4)

"""Nothing that a learner can reach tells the task in class- and domain-incremental streams."""

import warnings

import pytest
import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.benchmarks.scenarios.generic_scenario import MaskedAttributeError
from avalanche.benchmarks.utils import DataAttribute
from avalanche.benchmarks.utils.data_loader import TaskBalancedDataLoader
from avalanche.models import MTSimpleMLP, MultiHeadClassifier, MultiTaskModule, as_multitask
from avalanche.training.supervised import Naive

from benchmarks import PermutedDigits, RotatedMNIST, SplitDigits
from cl_sparse.data import BatchLoader, ids, stream_of

UNTOLD = {
    "class": lambda: SplitDigits(scenario="class", validation=0.1),
    "class, random order": lambda: SplitDigits(scenario="class", class_order="random", seed=3),
    "domain": lambda: SplitDigits(scenario="domain", class_order="random"),
    "permuted": lambda: PermutedDigits(3, validation=0.1),
    "rotated": lambda: RotatedMNIST(3, dataset="digits"),
}


def attributes(thing):
    """Yield name and value of what is public and no method, as far as it may be read."""
    for name in dir(thing):
        if name.startswith("_"):
            continue
        try:
            value = getattr(thing, name)
        except (MaskedAttributeError, AttributeError):
            continue
        if not callable(value):
            yield name, value


def told_by(dataset):
    """Return what a data set's attributes say, but for the samples' own targets and their number."""
    told = {}
    for name, value in attributes(dataset):
        if name == "targets":
            continue
        told[name] = sorted(value.uniques) if isinstance(value, DataAttribute) else sorted(value)
    return told


def told_at_test(experience):
    told = {name: value for name, value in attributes(experience.eval()) if name != "dataset"}
    return told | told_by(experience.eval().dataset)


@pytest.mark.parametrize("make", UNTOLD.values(), ids=UNTOLD)
def test_all_that_can_be_reached_at_test_is_the_same_in_every_task(make):
    benchmark = make()
    for name, stream in benchmark.streams.items():
        told = [told_at_test(experience) for experience in stream]
        assert "current_experience" not in told[0]
        assert all(other == told[0] for other in told[1:]), name


@pytest.mark.parametrize("make", UNTOLD.values(), ids=UNTOLD)
def test_labels_are_zero_wherever_they_are(make):
    for stream in make().streams.values():
        for experience in stream:
            assert (experience.task_label, experience.task_labels) == (0, [0])
            assert told_by(experience.dataset)["targets_task_labels"] == [0]
            assert list(experience.dataset.task_set) == [0]
            own = BatchLoader(stream_of(experience.dataset), ids(experience.dataset), 50)
            for loader in (own, TaskBalancedDataLoader(experience.dataset, batch_size=50)):
                assert not any(t.any() for *_, t in loader)


def test_task_incremental_streams_tell_the_task():
    for task, experience in enumerate(SplitDigits(scenario="task").test_stream):
        assert told_by(experience.dataset)["targets_task_labels"] == experience.task_labels == [task]
        assert {int(t) for *_, t in (experience.dataset[0], experience.dataset[-1])} == {task}
        for *_, t in BatchLoader(stream_of(experience.dataset), ids(experience.dataset), 50):
            assert (t == task).all()


class TwoLayers(MultiTaskModule):
    """A head per task label on features of its own."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.ReLU())
        self.classifier = MultiHeadClassifier(50, 10, masking=False)

    def forward(self, x, task_labels):
        return self.classifier(self.features(x), task_labels)


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.ReLU())
        self.classifier = nn.Linear(50, 10)

    def forward(self, x):
        return self.classifier(self.features(x))


MULTI_TASK = {
    "MTSimpleMLP": lambda: MTSimpleMLP(input_size=64, hidden_size=50),
    "as_multitask": lambda: as_multitask(Flat(), "classifier"),
    "MultiHeadClassifier": TwoLayers,
}


@pytest.mark.parametrize("model", MULTI_TASK)
@pytest.mark.parametrize("scenario", ["class", "task"])
def test_multi_task_models_do_no_better_than_chance_where_the_task_is_not_told(model, scenario):
    torch.manual_seed(0)
    benchmark, net = SplitDigits(scenario=scenario), MULTI_TASK[model]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Avalanche's own: no loggers
        strategy = Naive(
            model=net,
            optimizer=torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
            train_mb_size=32,
            train_epochs=5,
            eval_mb_size=200,
            evaluator=None,
        )
        for experience in benchmark.train_stream:
            strategy.train(experience)
        right = torch.cat([hits(strategy.model, experience.dataset) for experience in benchmark.test_stream])
    share = float(right.double().mean())
    assert share > 0.8 if scenario == "task" else share < 0.25  # the last of five tasks, of ten classes


def hits(net, dataset):
    """Return which samples are classified rightly by what the data set says of them."""
    net.eval()
    ((x, y, t),) = BatchLoader(stream_of(dataset), ids(dataset), len(dataset))
    with torch.no_grad():
        return net(x, t).argmax(dim=1) == y

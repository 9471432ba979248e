"""Mechanisms in Avalanche's loop: anybody's strategy, our runner, and the probes that are told."""

import pytest
import torch
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.benchmarks.utils.data_attribute import TaskLabels
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from avalanche.models import IncrementalClassifier
from avalanche.training.plugins import EWCPlugin, MASPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.utils.data import TensorDataset

from benchmarks import SplitDigits
from cl_sparse.layers import SparseLinear
from cl_sparse.models import SimpleMLP, SingleHead
from cl_sparse.plugins import Mechanisms, SparsityProbe
from cl_sparse.synapses import Frozen, GrownUnits, Ledger, Mechanism, SynapticIntelligence


class Diary(Mechanism):
    """Writes down when it is called, and what data it is shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def before_task(self, task):
        self.lines.append(f"before {task}")

    def after_task(self, task, batches):
        self.lines.append(f"after {task}: {sum(len(y) for _, y, *_ in batches)}")


def foreign_benchmark():
    generator = torch.Generator().manual_seed(0)
    parts = [(torch.randn(40, 64, generator=generator), torch.randint(2, (40,), generator=generator)) for _ in range(4)]
    sets = [
        TaskAwareSupervisedClassificationDataset(
            [TensorDataset(x, y)],
            data_attributes=[DataAttribute(y.tolist(), "targets"), TaskLabels(ConstantSequence(0, len(y)))],
        )
        for x, y in parts
    ]
    return benchmark_from_datasets(train=sets[:2], test=sets[2:])


@pytest.mark.parametrize("ours", [True, False])
def test_in_anybodys_strategy(ours):
    torch.manual_seed(0)
    benchmark = SplitDigits(2 if not ours else 5, scenario="domain") if ours else foreign_benchmark()
    net = nn.Sequential(nn.Flatten(), SparseLinear(64, 30, density=0.3), nn.ReLU(), nn.Linear(30, 2))
    diary, frozen, si = Diary(), Frozen(0.5), SynapticIntelligence(c=1.0)
    plugin = Mechanisms({"diary": diary, "frozen": frozen, "si": si})
    strategy = Naive(
        model=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
        criterion=nn.CrossEntropyLoss(),
        plugins=[plugin],
        train_mb_size=16,
        train_epochs=2,
    )
    first, second, *_ = benchmark.train_stream
    strategy.train(first)
    kept, still = net[1].values.detach().clone(), frozen.updates.scale["1.values"] == 0
    assert int(still.sum()) == round(0.5 * len(kept))
    strategy.train(second)
    assert torch.equal(net[1].values[still], kept[still])
    assert not torch.equal(net[1].values, kept)
    sizes = [len(experience.dataset) for experience in list(benchmark.train_stream)[:2]]
    assert diary.lines == ["before 0", f"after 0: {sizes[0]}", "before 1", f"after 1: {sizes[1]}"]
    assert all(bool(importance.any()) for importance in si.importance.values())
    assert plugin.carried_bytes() == plugin.ledger.nbytes > 0


def test_another_model_is_refused():
    net = nn.Sequential(nn.Linear(3, 2))
    plugin = Mechanisms({"frozen": Frozen()})
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    plugin.bind(net, optimizer)
    with pytest.raises(ValueError, match="another model"):
        plugin.bind(nn.Sequential(nn.Linear(3, 2)), optimizer)


@pytest.mark.parametrize("made", [EWCPlugin(0.1), MASPlugin()])
def test_what_holds_numbers_by_place_is_refused_where_units_come_and_go(made):
    net = nn.Sequential(nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 2))
    strategy = Naive(
        model=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        criterion=nn.CrossEntropyLoss(),
        plugins=[Mechanisms({"grown": GrownUnits(2)}), made],
        evaluator=None,
    )
    with pytest.raises(ValueError, match=rf"grown removes or adds units, which {type(made).__name__} cannot follow"):
        strategy.train(foreign_benchmark().train_stream[0])


def test_penalties_and_frozen_synapses_change_what_a_run_learns(make_run, tmp_path):
    plain = make_run(scenario="domain", num_batch=5)
    expected = plain.run(tmp_path / "plain.pt")["accs"]
    for spec in ({"name": "synaptic_intelligence", "c": 1.0}, {"name": "frozen", "share": 0.9}):
        run = make_run(scenario="domain", num_batch=5, plugins=[spec])
        stats = run.run(tmp_path / "with.pt")
        assert (stats["accs"][0] == expected[0]).all()  # the first task has nothing to remember
        assert (stats["accs"][1:] != expected[1:]).any()
        assert stats["task_info_train"] == "boundaries"
        assert stats["carried_bytes"][0]["Mechanisms"] > 0


def test_the_probe_follows_a_net_that_grows():
    torch.manual_seed(0)
    net = SimpleMLP((8,), lambda n: SingleHead(n, 2), hidden_units=6, hidden_layers=2)
    probe = SparsityProbe(net, n_tasks=2)
    ledger = Ledger(net)
    ledger.listeners.append(probe.follow)
    first, second = probe.layers
    probe.on_idxs = {first: torch.arange(6), second: torch.arange(6)}
    ledger.resize("features.fc1", torch.tensor([5, 0]), add=1)
    assert probe.on_idxs[first].tolist() == [5, 0, 0]
    assert probe.on_idxs[second].tolist() == list(range(6))


def test_the_probe_follows_layers_without_bias():
    net = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 6, bias=False), nn.ReLU(), nn.Linear(6, 2))
    probe = SparsityProbe(net, n_tasks=1)
    ledger = Ledger(net)
    ledger.listeners.append(probe.follow)
    probe.on_idxs = {"1": torch.arange(6), "3": torch.arange(6)}
    ledger.resize("0", torch.tensor([4]))
    assert (probe.on_idxs["1"].tolist(), probe.on_idxs["3"].tolist()) == ([4], list(range(6)))
    ledger.resize("2", torch.tensor([2, 3]))
    assert (probe.on_idxs["1"].tolist(), probe.on_idxs["3"].tolist()) == ([4], [2, 3])


def test_a_classifier_that_grows_with_the_classes():
    torch.manual_seed(0)
    benchmark = SplitDigits(scenario="class")
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), IncrementalClassifier(20, 1))
    si = SynapticIntelligence(c=1.0)
    plugin = Mechanisms({"si": si})
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    strategy = Naive(model=net, optimizer=optimizer, plugins=[plugin], train_mb_size=32, evaluator=None)
    for experience in benchmark.train_stream[:3]:
        strategy.train(experience)
    importance = si.importance["3.classifier.weight"]
    assert importance.shape == net[3].classifier.weight.shape
    assert (importance > 0).any(dim=1).sum() == 6  # the classes so far


@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_what_is_held_out_is_shown_and_not_trained_on(validation):
    class Shown(Mechanism):
        def __init__(self) -> None:
            self.seen = []

        def see_task(self, task, batches):
            self.trained = torch.cat([x for x, *_ in batches])

        def see_held_out(self, task, batches):
            self.seen.append((task, [x for x, *_ in batches]))

    benchmark, shown = SplitDigits(5, scenario="domain", validation=validation), Shown()
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2))
    learner = Naive(
        model=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        criterion=nn.CrossEntropyLoss(),
        plugins=[Mechanisms({"shown": shown})],
        train_mb_size=16,
        evaluator=None,
    )
    learner.train(benchmark.train_stream[3])
    ((task, batches),) = shown.seen
    assert task == 3
    if not validation:
        assert batches == []
        return
    expected = torch.stack([x for x, *_ in benchmark.val_stream[3].dataset])
    assert torch.equal(torch.cat(batches), expected)
    assert len(shown.trained) == len(benchmark.train_stream[3].dataset)

"""Avalanche's strategies on whole mini-batches: the same results, bit for bit."""

import random

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import cl_sparse.compat

# isort: split
from avalanche.benchmarks import split_online_stream
from avalanche.benchmarks.scenarios.task_aware import task_incremental_benchmark
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.training import AGEM, DER, ER_ACE, EWC, GEM, MAS, Cumulative, LwF, Naive, Replay

from benchmarks import RotatedMNIST, SplitDigits
from cl_sparse.data import TaskData
from cl_sparse.plugins import FastLoading, Plugin
from cl_sparse.plugins.fast_loading import StreamBatches, faster
from tests.native import native_benchmark, silent

STRATEGIES = {
    "Naive": (Naive, {}),
    "Cumulative": (Cumulative, {}),
    "Replay": (Replay, {"mem_size": 50}),
    "EWC": (EWC, {"ewc_lambda": 1.0}),
    "LwF": (LwF, {"alpha": 1.0, "temperature": 2.0}),
    "MAS": (MAS, {"lambda_reg": 0.01, "alpha": 0.5}),
    "GEM": (GEM, {"patterns_per_exp": 20, "memory_strength": 0.5}),
    "AGEM": (AGEM, {"patterns_per_exp": 20, "sample_size": 20}),
    "DER": (DER, {"mem_size": 50}),
    "ER_ACE": (ER_ACE, {"mem_size": 50}),
}


class Loaders(Plugin):
    """Keeps the loaders that are trained with."""

    def __init__(self):
        super().__init__()
        self.loaders = []

    def before_training_epoch(self, strategy, **kwargs):
        self.loaders.append(type(strategy.dataloader))


def learned(kind, arguments, benchmark, *plugins):
    """Return the weights after three tasks and a test, the state of the generator, and the types of the loaders."""
    torch.manual_seed(0)
    random.seed(0)
    net, watch = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10)), Loaders()
    strategy = silent(kind, model=net, plugins=[*plugins, watch], **arguments)
    for experience in benchmark.train_stream[:3]:
        strategy.train(experience, eval_streams=[])
        strategy.eval(benchmark.test_stream)
    return [*strategy.model.parameters(), torch.get_rng_state()], set(watch.loaders)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("scenario", ["class", "task"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_the_results_are_avalanches_own(name, scenario):
    benchmark = SplitDigits(scenario=scenario, train_subset=400, test_subset=100)
    expected, slow = learned(*STRATEGIES[name], benchmark)
    got, fast = learned(*STRATEGIES[name], benchmark, FastLoading())
    assert all(torch.equal(one, other) for one, other in zip(expected, got, strict=True))
    assert StreamBatches not in slow
    assert fast == {StreamBatches}


def test_no_sample_is_fetched_alone(monkeypatch):
    def refuse(self, index):
        raise AssertionError(f"sample {index} was fetched on its own")

    monkeypatch.setattr(TaskData, "__getitem__", refuse)
    for name in ("Naive", "Cumulative", "Replay", "EWC", "LwF", "MAS", "GEM"):
        learned(*STRATEGIES[name], SplitDigits(scenario="class", train_subset=100, test_subset=50), FastLoading())


def test_on_a_stream_of_single_batches():
    stream = split_online_stream(SplitDigits(scenario="class").train_stream, 40, seed=0)
    net, watch = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), Loaders()
    strategy = silent(model=net, plugins=[FastLoading(), watch])
    for experience, _ in zip(stream, range(3), strict=False):
        strategy.train(experience, eval_streams=[])
    assert set(watch.loaders) == {StreamBatches}


def shifted(x):
    return x + 1


def other_labels(experience):
    return task_incremental_benchmark(SplitDigits(scenario="domain"), reset_task_labels=True).train_stream[2].dataset


LEFT_ALONE = {
    "Avalanche's stream": lambda data: native_benchmark(SplitDigits()).train_stream[0].dataset,
    "transforms": lambda data: data.replace_current_transform_group(shifted),
    "other task labels": other_labels,
    "not all ours": lambda data: data.concat(native_benchmark(SplitDigits()).train_stream[0].dataset),
    "more values": lambda data: with_logits(data),
    "no stream at all": lambda data: AvalancheDataset([TensorDataset(torch.zeros(9, 2), torch.zeros(9))]),
    "two streams": lambda data: data.concat(SplitDigits().train_stream[1].dataset),
}


def with_logits(data):
    from avalanche.benchmarks.utils import DataAttribute

    return data.update_data_attribute("logits", DataAttribute([0.5] * len(data), "logits", use_in_getitem=True))


@pytest.mark.parametrize("make", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_data_that_are_not_as_the_stream_has_them_are_loaded_as_before(make):
    data = make(SplitDigits().train_stream[0].dataset)
    loader = DataLoader(data, batch_size=8, collate_fn=data.collate_fn)
    assert faster(loader) is loader
    one = [torch.as_tensor(part) for part in data[5]]
    batch = next(iter(loader))
    assert all(torch.equal(a.float(), b[5].float()) for a, b in zip(one, batch, strict=True))


@pytest.mark.parametrize("make", [lambda: SplitDigits(), lambda: RotatedMNIST(3, dataset="digits")])
def test_a_plain_loader_of_torchs_gives_the_samples_one_by_one(make, monkeypatch):
    data = make().train_stream[1].dataset.subset([5, 3, 3, 40, 7])
    expected = [data[i] for i in range(5)]
    monkeypatch.setattr(TaskData, "__getitem__", None)
    for loader in (DataLoader(data, batch_size=5), DataLoader(data, batch_size=5, collate_fn=data.collate_fn)):
        ((x, y, t),) = loader
        assert torch.equal(x, torch.stack([sample[0] for sample in expected]))
        assert y.tolist() == [sample[1] for sample in expected]
        assert t.tolist() == [sample[2] for sample in expected]

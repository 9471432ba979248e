"""The probe measures what NumPy says, follows units that come and go, and changes nothing in training."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from cl_sparse.layers import rezero_weights
from cl_sparse.metrics.capacity import components_for, effective_rank, spread
from cl_sparse.models import SimpleCNN, SimpleMLP, SingleHead
from cl_sparse.synapses import LazySGD, Ledger, ablation_importance
from cl_sparse.synapses.capacity_probe import CapacityProbe
from cl_sparse.synapses.moments import Moments

WINNERS: dict[str, Any] = {"sparsify": True, "percent_on_fc": 0.3}
KINDS = ["mlp", "cnn", "masked", "winners", "live"]


def net_of(kind: str) -> nn.Module:
    torch.manual_seed(0)

    def head(n: int) -> SingleHead:
        return SingleHead(n, 3)

    if kind == "cnn":
        return SimpleCNN((1, 9, 9), head, hidden_units=6, dropout=0.3, **WINNERS, percent_on_conv=0.3)
    more = {
        "mlp": {},
        "masked": {**WINNERS, "weight_sparsity_fc": 0.5},
        "winners": {**WINNERS, "compute": "winners"},
        "live": {**WINNERS, "weight_sparsity_fc": 0.5, "weights": "sparse"},
    }[kind]
    return SimpleMLP((10,), head, hidden_units=12, hidden_layers=2, dropout=0.3, **more)


def data(kind: str, n: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, *((1, 9, 9) if kind == "cnn" else (10,)), generator=generator)
    return x, torch.randint(3, (n,), generator=generator)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "masked"])
def test_it_measures_what_numpy_says(kind: str) -> None:
    net = net_of(kind)
    ledger = Ledger(net)
    probe = CapacityProbe(samples=25, ablation_samples=10)
    ledger.attach(probe)
    x, y = data(kind)
    ledger.before_task(0)
    ledger.after_task(0, [(x[:20], y[:20]), (x[20:], y[20:])])
    importance = ablation_importance(net, [(x[:10], y[:10])])
    caught: dict[str, tuple[Tensor, Tensor]] = {}
    for layer in net.consumers():
        number = layer[-1]
        first = net.get_submodule(f"features.{'relu' if layer == f'features.conv{number}' else 'act'}{number}")
        last = net.get_submodule(f"features.act{number}")
        first.register_forward_pre_hook(lambda _, i, n=layer: caught.__setitem__(n, (i[0].detach().clone(), None)))
        last.register_forward_hook(lambda _, i, o, n=layer: caught.__setitem__(n, (caught[n][0], o.detach().clone())))
    net.eval()
    for module in net.modules():
        if hasattr(module, "observed"):
            module.observed = True
    net(x[:25])
    statistics = probe.statistics()
    for layer, (before, after) in caught.items():
        rows, activities = (t.movedim(1, -1).flatten(0, -2).double().numpy() for t in (before, after))
        expected = spread(activities.std(0))
        covariance = np.cov(rows.T, bias=True)
        expected |= {"effective_rank": effective_rank(covariance), "components": components_for(covariance, 0.99)}
        for key, value in expected.items():
            assert statistics["layers"][layer][key][0] == pytest.approx(value, rel=1e-4, nan_ok=True), (layer, key)
        np.testing.assert_allclose(statistics["importance"][layer][0], importance[layer], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_training_with_it_is_training_without(kind: str) -> None:
    def trained(probed: bool) -> tuple[dict[str, Tensor], Tensor]:
        net = net_of(kind)
        make = LazySGD if kind == "winners" else torch.optim.SGD
        ledger = Ledger(net, make(net.parameters(), lr=0.1, momentum=0.9))
        if probed:
            ledger.attach(CapacityProbe(samples=20, ablation_samples=3))
        x, y = data(kind)
        loader = DataLoader(TensorDataset(x, y), batch_size=8)  # draws a seed when asked for an iterator
        torch.manual_seed(5)
        net.train()
        for task in range(2):
            ledger.before_task(task)
            for _ in range(3):
                ledger.optimizer.zero_grad()
                cross_entropy(net(x), y).backward()
                ledger.optimizer.step()
                rezero_weights(net)
            gradients = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
            modes = [module.training for module in net.modules()]
            ledger.after_task(task, loader if probed else ())
            assert modes == [module.training for module in net.modules()]
            for p, gradient in zip(net.parameters(), gradients, strict=True):
                assert p.grad is None or torch.equal(p.grad.to_dense(), gradient.to_dense())
        return dict(net.state_dict()), torch.rand(3)

    (with_probe, drawn), (without, expected) = trained(True), trained(False)
    assert torch.equal(drawn, expected)
    assert with_probe.keys() == without.keys()
    for name, value in with_probe.items():
        assert torch.equal(value, without[name]), name


def test_importances_follow_units_and_a_resumed_one_goes_on() -> None:
    net = net_of("mlp")
    ledger = Ledger(net)
    probe = CapacityProbe()
    ledger.attach(probe)
    ledger.after_task(0, [data("mlp")])
    before = probe.statistics()["importance"]["features.fc1"][0]
    ledger.resize("features.fc1", torch.tensor([3, 1, 5]), add=2)
    ledger.after_task(1, [data("mlp")])
    statistics = probe.statistics()
    np.testing.assert_array_equal(statistics["importance"]["features.fc1"][0], [*before[[3, 1, 5]], 0, 0])
    assert statistics["layers"]["features.fc1"]["units"].tolist() == [12, 5]
    assert statistics["overlap"]["features.fc1"].shape == (2, 2)
    again = CapacityProbe()
    again.load_state_dict(probe.state_dict())
    np.testing.assert_equal(again.statistics(), statistics)


def test_without_ablation_there_are_no_importances() -> None:
    net = net_of("mlp")
    ledger = Ledger(net)
    probe = CapacityProbe(ablation_samples=0)
    ledger.attach(probe)
    ledger.after_task(0, [data("mlp")])
    assert probe.statistics()["importance"] == {}
    assert probe.statistics()["layers"].keys() == {"features.fc1", "features.fc2"}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.floats(-1e6, 1e6), st.booleans())
def test_moments_in_batches_are_those_of_all(sizes: list[int], shift: float, only_variances: bool) -> None:
    rows = torch.randn(sum(sizes), 4, generator=torch.Generator().manual_seed(0)).double() + shift
    moments = Moments(only_variances)
    for part in rows.split(sizes):
        moments.add(part)
        moments.add(part[:0])
    torch.testing.assert_close(moments.std(), rows.std(0, correction=0), rtol=1e-6, atol=1e-7)
    if only_variances:
        with pytest.raises(ValueError, match="only variances"):
            moments.covariance()
    else:
        expected = (rows - rows.mean(0)).T @ (rows - rows.mean(0)) / len(rows)
        torch.testing.assert_close(moments.covariance(), expected, rtol=1e-6, atol=1e-7)


def test_what_cannot_be_is_one_line() -> None:
    for make, said in (
        (lambda: CapacityProbe(samples=1), "samples must be at least 2"),
        (lambda: CapacityProbe(ablation_samples=-1), "ablation_samples at least 0"),
        (lambda: Ledger(nn.Linear(3, 2)).attach(CapacityProbe()), "there is no hidden layer"),
    ):
        with pytest.raises(ValueError, match=said):
            make()

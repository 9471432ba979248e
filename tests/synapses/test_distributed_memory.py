"""Sparse distributed memory: no biases, weights from 0 up, addresses and inputs of length 1, under any optimizer."""

import copy

import pytest
import torch
from torch import nn

from cl_sparse.layers import KWinners
from cl_sparse.layers.inhibited_winners import InhibitedWinners
from cl_sparse.models import MultiHead, SimpleCNN, SimpleMLP, SingleHead
from cl_sparse.synapses import ContextGates, DistributedMemory, Ledger

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.5),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


def net_of(heads: str = "single", **settings) -> SimpleMLP:
    torch.manual_seed(0)
    head = {"single": lambda n: SingleHead(n, 3), "multi": lambda n: MultiHead(n, 2, 3)}[heads]
    arguments = {"hidden_units": 20, "hidden_layers": 2, "sparsify": True, "percent_on_fc": 0.2, **settings}
    return SimpleMLP((9,), head, **arguments)


def linear(net: nn.Module) -> list[nn.Linear]:
    return [module for module in net.modules() if isinstance(module, nn.Linear)]


@pytest.mark.parametrize("density", [1.0, 0.5])
@pytest.mark.parametrize("heads", ["single", "multi"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_stay_what_they_may_be(optimizer: str, heads: str, density: float) -> None:
    memory = DistributedMemory(switch=30)
    net = memory.wrap(net_of(heads, weight_sparsity_fc=density), 2)
    ledger = Ledger(net, OPTIMIZERS[optimizer](net.parameters()))
    ledger.attach(memory)
    start = copy.deepcopy(net.state_dict())
    x, y, told = torch.rand(32, 9), torch.arange(32) % 3, torch.arange(32) % 2
    losses = []
    for _ in range(40):
        ledger.optimizer.zero_grad()
        losses.append(nn.functional.cross_entropy(net(x, told if heads == "multi" else None), y))
        losses[-1].backward()
        ledger.optimizer.step()
        for layer in linear(net):
            assert layer.bias is None
            assert bool((layer.weight >= 0).all())
        for layer in linear(net.features):
            length = layer.weight.norm(dim=1)
            torch.testing.assert_close(length, (length > 0).float())
            assert float(length.detach().mean()) > 0.8
    assert losses[-1] < losses[0]
    assert all(not torch.equal(value, start[name]) for name, value in net.state_dict().items() if "weight" in name)
    for layer in linear(net.features):
        assert int((layer.weight != 0).sum()) <= round(density * layer.weight.numel())


def test_the_net_is_the_papers() -> None:
    net = DistributedMemory().wrap(net_of(hidden_layers=1), 1).eval()
    first, head = linear(net)
    winners = next(module for module in net.modules() if isinstance(module, KWinners))
    assert isinstance(winners, InhibitedWinners)
    winners.active += 1e6
    x = torch.rand(7, 9)
    for sample, logits in zip(x, net(x), strict=True):
        drive = first.weight @ (sample / sample.norm())
        strongest_loser = drive.sort(descending=True).values[winners.k_inference]
        torch.testing.assert_close(logits, head.weight @ (drive - strongest_loser).clamp(min=0))


def test_a_copy_and_a_loaded_state_give_the_same() -> None:
    net = DistributedMemory(switch=5).wrap(net_of(), 1)
    x = torch.rand(7, 9)
    for _ in range(3):
        net(x)
    other = DistributedMemory(switch=5).wrap(net_of(), 1)
    other.load_state_dict(net.state_dict())
    net.eval(), other.eval()
    assert torch.equal(other(x), net(x))
    assert torch.equal(copy.deepcopy(net)(x), net(x))


def test_what_it_cannot_do_is_refused() -> None:
    memory = DistributedMemory()
    with pytest.raises(ValueError, match="k-winners are needed behind every hidden layer"):
        memory.wrap(net_of(sparsify=False), 1)
    with pytest.raises(ValueError, match="linear layers"):
        memory.wrap(SimpleCNN((1, 12, 12), lambda n: SingleHead(n, 2), hidden_units=4), 1)
    with pytest.raises(ValueError, match="does not go with it"):
        memory.wrap(ContextGates(shut=0.2).wrap(net_of(), 2), 2)
    with pytest.raises(ValueError, match="has to say in consumers"):
        memory.wrap(nn.Sequential(nn.Linear(2, 2)), 1)
    net = net_of()
    ledger = Ledger(net, OPTIMIZERS["sgd"](net.parameters()))
    with pytest.raises(ValueError, match="the net that wrap"):
        ledger.attach(memory)
    with pytest.raises(ValueError, match="switch must be above 0"):
        DistributedMemory(switch=0)

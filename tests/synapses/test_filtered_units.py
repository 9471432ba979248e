"""Filters in training: costs, groups of the optimizer, decay, protection; each against the obvious way."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cl_sparse.layers import Sparsifier
from cl_sparse.layers.filter_placement import filters_of
from cl_sparse.models import SimpleCNN, SingleHead
from cl_sparse.synapses import (
    FlexibleWidth,
    GrownUnits,
    Ledger,
    Mechanism,
    NeuronGC,
    SizeOnly,
    SparsifiedUnits,
    SwitchedUnits,
    ablation_importance,
)
from tests.synapses.filtered_nets import N_IN, data, learn, made, net_of


def filters(net: nn.Module) -> dict[str, Sparsifier]:
    return {layer: own for layer, (_, own) in filters_of(net).items()}


def test_the_cost_is_the_sum_of_filters_and_decays_by_epoch() -> None:
    _, ledger = made(SparsifiedUnits(strength=0.3, decay=2.0))
    ledger.before_task(0)
    for epoch in range(3):
        ledger.before_epoch(epoch, 3, 1)
        torch.testing.assert_close(ledger.penalty(), torch.tensor(0.3 / 2**epoch * 40))
    ledger.before_task(1)
    torch.testing.assert_close(ledger.penalty(), torch.tensor(0.3 * 40))
    cnn = SimpleCNN((1, 9, 9), lambda n: SingleHead(n, 2), hidden_units=5)
    sizes = SparsifiedUnits(strength=1.0)
    sizes.wrap(cnn, 1)
    with_cnn = Ledger(cnn, torch.optim.Adam(cnn.parameters()))
    with_cnn.attach(sizes)
    assert float(with_cnn.penalty().detach()) == 25 * (64 + 128) + 5


def test_a_cost_may_decay_for_thousands_of_epochs() -> None:
    _, ledger = made(SparsifiedUnits(strength=0.3, decay=5.0))
    ledger.before_task(0)
    ledger.before_epoch(5000, 6000, 1)
    assert ledger.penalty() == 0.0


def test_filters_have_a_learning_rate_of_their_own_and_do_not_decay() -> None:
    net, ledger = made(SparsifiedUnits(strength=0.0, filter_lr=0.7), weight_decay=0.5)
    rates = ledger.learning_rates()
    assert {rate for name, rate in rates.items() if name.endswith(".filter")} == {0.7}
    assert {rate for name, rate in rates.items() if not name.endswith(".filter")} == {0.1}
    x, y, labels = data(0)
    (0.0 * cross_entropy(net(x, labels), y)).backward()
    before = net.features.fc1.weight.detach().clone()
    ledger.optimizer.step()
    assert all(torch.equal(own.filter, torch.ones(20)) for own in filters(net).values())
    torch.testing.assert_close(net.features.fc1.weight.detach(), before * (1 - 0.1 * 0.5))


def test_a_cost_makes_units_die_and_they_are_collected() -> None:
    net, ledger = made(SparsifiedUnits(strength=0.05), NeuronGC())
    learn(net, ledger, 0)
    widths = [own.n for own in filters(net).values()]
    assert all(0 < width < 20 for width in widths)
    assert net.features.fc1.weight.shape == (widths[0], N_IN)
    assert net.features.fc2.weight.shape == (widths[1], widths[0])


@pytest.mark.parametrize("protect", ["alive", "important"])
@pytest.mark.parametrize("kind", [SparsifiedUnits, SwitchedUnits])
def test_protected_units_are_neither_killed_nor_changed(kind: type[SparsifiedUnits], protect: str) -> None:
    more = {"start": "one", "memory": 0.5, "kill_above": 0.3} if kind is SwitchedUnits else {}
    sizes = kind(strength=0.02, protect=protect, **more)
    net, ledger = made(sizes, NeuronGC())
    learn(net, ledger, 0)
    importance = ablation_importance(net, [data(0)])
    held = {}
    for layer, (_, own) in filters_of(net).items():
        exempt = sizes.exempt(layer)
        assert torch.equal(exempt, torch.ones_like(exempt) if protect == "alive" else importance[layer] > 1e-3)
        assert exempt.any()
        held[layer] = own.factors()[exempt].detach().clone()
        ledger.resize(layer, torch.arange(own.n), add=15)
    sizes.strength = 5.0
    learn(net, ledger, 1)
    for layer, (_, own) in filters_of(net).items():
        exempt = sizes.exempt(layer)
        assert torch.isin(held[layer], own.factors().detach()).all()
        if kind is SparsifiedUnits:
            assert int(exempt.sum()) >= len(held[layer])
            assert own.n <= len(held[layer]) + 1  # the cost killed all others


def test_without_protection_the_cost_of_a_later_task_kills() -> None:
    net, ledger = made(SparsifiedUnits(strength=0.02), NeuronGC())
    learn(net, ledger, 0)
    ledger.mechanisms["SparsifiedUnits"].strength = 5.0
    learn(net, ledger, 1)
    assert [own.n for own in filters(net).values()] == [1, 1]


@pytest.mark.parametrize("power", [1, 2])
def test_switches_penalise_weights_of_heads_in_use_only(power: int) -> None:
    net, ledger = made(SwitchedUnits(strength=0.0, weight_strength=0.1, power=power, start="one"))
    x, y, labels = data(0)
    cross_entropy(net(x, labels), y).backward()
    expected = {}
    for found in ledger.synapses.values():
        if found.parameter.grad is not None:
            weight = found.parameter.detach().clone().requires_grad_()
            (slope,) = torch.autograd.grad(0.1 * weight.abs().pow(power).sum(), weight)
            expected[found.name] = weight.detach() - 0.1 * (found.parameter.grad + slope)
    other = net.classifier.heads[1].weight.detach().clone()
    ledger.optimizer.step()
    assert len(expected) == 3
    for name, weight in expected.items():
        torch.testing.assert_close(ledger.parameters()[name].detach(), weight)
    assert torch.equal(net.classifier.heads[1].weight, other)


def test_a_switch_that_keeps_turning_is_killed() -> None:
    net, ledger = made(SwitchedUnits(strength=1.0, start="one", memory=0.8), NeuronGC())
    learn(net, ledger, 0, epochs=6)
    assert all(own.n < 20 for _, own in filters_of(net).values())


@pytest.mark.parametrize("holds", ["protect", "block", "size_only"])
def test_a_switch_that_is_held_is_not_killed(holds: str) -> None:
    """One that turned just before it is held has a variance that goes on rising for a while."""
    sizes = SwitchedUnits(strength=0.0, start="one", memory=0.9, protect="alive" if holds == "protect" else "none")
    beside: dict[str, list[Mechanism]] = {
        "block": [GrownUnits(units=3, train="block")],
        "size_only": [SizeOnly(after=9)],
    }
    net, ledger = made(sizes, *beside.get(holds, []))
    learn(net, ledger, 0)
    for _, own in filters_of(net).values():
        own.sign_mean[:5] = -1.0  # as of a switch that was below 0 for long
    learn(net, ledger, 1)
    assert not any(bool(own.dead()[:20].any()) for _, own in filters_of(net).values())


def test_what_cannot_be_is_one_line() -> None:
    for make, said in (
        (lambda: SparsifiedUnits(strength=-1), "strength must be at least 0"),
        (lambda: SparsifiedUnits(decay=0.5), "decay at least 1"),
        (lambda: SparsifiedUnits(filter_lr=0), "filter_lr above 0"),
        (lambda: SparsifiedUnits(protect="some"), "protect must be none, alive or important"),
        (lambda: SparsifiedUnits(samples=0), "samples at least 1"),
        (lambda: SparsifiedUnits(start="two"), "start must be one or uniform"),
        (lambda: SparsifiedUnits(threshold=-1), "threshold must be at least 0"),
        (lambda: SparsifiedUnits(threshold=float("nan")), "threshold must be at least 0"),
        (lambda: SparsifiedUnits(strength=float("inf")), "strength must be at least 0"),
        (lambda: SwitchedUnits(weight_strength=float("inf")), "weight_strength must be above 0"),
        (lambda: SwitchedUnits(kill_above=2), "kill_above must be from 0 to 1"),
        (lambda: SizeOnly(after=float("nan")), "after must be at least 0"),
        (lambda: SwitchedUnits(weight_strength=0), "weight_strength must be above 0"),
        (lambda: SwitchedUnits(power=3), "power 1 or 2"),
        (lambda: SwitchedUnits(start="two"), "start must be normal, uniform or one"),
        (lambda: FlexibleWidth(start=2), "start must be from 0 to 1"),
        (lambda: FlexibleWidth(steepness=0), "steepness must be above 0"),
        (lambda: FlexibleWidth(after=-1), "after must be at least 0"),
    ):
        with pytest.raises(ValueError, match=said):
            make()
    with pytest.raises(ValueError, match="give the optimizer and the ledger the net that wrap"):
        Ledger(net_of()).attach(SparsifiedUnits())
    net = net_of()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    SparsifiedUnits().wrap(net, 2)
    with pytest.raises(ValueError, match="it does not train the filters"):
        Ledger(net, optimizer).attach(SparsifiedUnits())

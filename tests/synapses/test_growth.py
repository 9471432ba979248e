"""Blocks of units: outputs at the start, who learns, what is put back; blocks are judged as the rule says."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cl_sparse.errors import UserError
from cl_sparse.layers import FlexibleLayer, KWinners, SparseLinear, SparseWeights, Sparsifier, rezero_weights
from cl_sparse.layers.filter_placement import filters_of
from cl_sparse.models import MultiHead, SimpleCNN, SimpleMLP
from cl_sparse.synapses import BlockGrowth, GrownUnits, Ledger, NeuronGC, SparsifiedUnits
from cl_sparse.synapses.blocks import widths

N_IN, TASKS = 10, 3


def net_of(kind: str) -> nn.Module:
    torch.manual_seed(0)

    def head(n: int) -> MultiHead:
        return MultiHead(n, TASKS, 3)

    if kind == "cnn":
        return SimpleCNN((1, 9, 9), head, hidden_units=8)
    masked = {"sparsify": True, "weight_sparsity_fc": 0.5, "weights": "sparse" if kind == "live" else "masked"}
    return SimpleMLP((N_IN,), head, hidden_units=8, hidden_layers=2, **(masked if kind in ("live", "masked") else {}))


def data(task: int, kind: str = "mlp") -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(task)
    x = torch.randn(24, *((1, 9, 9) if kind == "cnn" else (N_IN,)), generator=generator)
    return x, torch.randint(3, (24,), generator=generator), torch.full((24,), task)


def outputs(net: nn.Module, task: int, kind: str = "mlp") -> Tensor:
    net.eval()
    with torch.no_grad():
        return net(data(task, kind)[0], data(task, kind)[2])


def epochs_of(net: nn.Module, ledger: Ledger, task: int, kind: str = "mlp", epochs: int = 1, lr_steps: int = 5) -> None:
    x, y, labels = data(task, kind)
    for epoch in range(epochs):
        net.train()
        ledger.before_epoch(epoch, epochs, lr_steps)
        for _ in range(lr_steps):
            ledger.optimizer.zero_grad()
            (cross_entropy(net(x, labels), y) + ledger.penalty()).backward()
            ledger.optimizer.step()
            rezero_weights(net)


def optimizer_of(kind: str, net: nn.Module) -> torch.optim.Optimizer:
    if kind == "adamw":
        return torch.optim.AdamW(net.parameters(), lr=0.01)
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


@pytest.mark.parametrize("train", ["all", "block"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("kind", ["mlp", "masked", "live", "cnn"])
def test_a_block_changes_nothing_at_first_and_old_tasks_nothing_later(kind: str, optimizer: str, train: str) -> None:
    net = net_of(kind)
    ledger = Ledger(net, optimizer_of(optimizer, net))
    ledger.attach(GrownUnits(units=4, train=train))
    before: dict[int, Tensor] = {}
    for task in range(TASKS):
        fresh = [outputs(net, t, kind) for t in range(TASKS)]
        old = widths(ledger)
        ledger.before_task(task)
        assert widths(ledger) == {layer: n + 4 * (task > 0) for layer, n in old.items()}
        for t in range(TASKS):
            torch.testing.assert_close(outputs(net, t, kind), fresh[t], rtol=1e-5, atol=1e-6)
        epochs_of(net, ledger, task, kind)
        ledger.after_task(task)
        assert not torch.allclose(outputs(net, task, kind), fresh[task], atol=1e-3)
        before[task] = outputs(net, task, kind)
        for earlier, logits in before.items():
            same = torch.allclose(outputs(net, earlier, kind), logits, rtol=1e-5, atol=1e-5)
            assert same == (train == "block" or earlier == task)


@pytest.mark.parametrize("kind", ["masked", "cnn"])
def test_only_the_block_is_trained_bit_for_bit(kind: str) -> None:
    net = net_of(kind)
    ledger = Ledger(net, optimizer_of("sgd", net))
    ledger.attach(GrownUnits(units=4, train="block"))
    ledger.before_task(0)
    epochs_of(net, ledger, 0, kind)
    start = widths(ledger)
    ledger.before_task(1)
    held = {name: p.detach().clone() for name, p in ledger.parameters().items()}
    epochs_of(net, ledger, 1, kind)
    for found in ledger.synapses.values():
        if found.layer in start:
            for name in (found.name, found.bias):
                old, new = held[name], ledger.parameters()[name]
                assert torch.equal(old[: start[found.layer]], new[: start[found.layer]])
                assert not torch.equal(old[start[found.layer] :], new[start[found.layer] :])
    assert torch.equal(held["classifier.heads.0.weight"], ledger.parameters()["classifier.heads.0.weight"])
    assert not torch.equal(held["classifier.heads.1.weight"], ledger.parameters()["classifier.heads.1.weight"])


def test_growing_and_shrinking_go_together() -> None:
    net = net_of("mlp")
    sizes = SparsifiedUnits(strength=0.06, protect="alive")
    sizes.wrap(net, TASKS)
    ledger = Ledger(net, optimizer_of("sgd", net))
    for mechanism in (GrownUnits(units=10, train="block"), sizes, NeuronGC()):
        ledger.attach(mechanism)
    before: dict[int, Tensor] = {}
    for task in range(TASKS):
        ledger.before_task(task)
        grown = widths(ledger)
        epochs_of(net, ledger, task, epochs=4, lr_steps=10)
        ledger.after_task(task, [data(task)])
        assert any(n < grown[layer] for layer, n in widths(ledger).items())
        before[task] = outputs(net, task)
        for earlier, logits in before.items():
            torch.testing.assert_close(outputs(net, earlier), logits, rtol=1e-4, atol=1e-5)


def test_filters_normalisation_and_winners_of_old_units_are_held() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        SparseWeights(nn.Linear(4, 6), sparsity=0.3),
        nn.BatchNorm1d(6),
        Sparsifier(6),
        KWinners(6, 0.5),
        SparseLinear(6, 5, density=0.5),
        nn.ReLU(),
        nn.Linear(5, 2),
    )
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.5))
    ledger.attach(GrownUnits(units=3, train="block"))
    ledger.before_task(0)
    ledger.before_task(1)
    held = [net[1].weight.detach().clone(), net[1].bias.detach().clone(), net[2].filter.detach().clone()]
    for seed in range(3):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
        net(x).square().sum().backward()
        ledger.optimizer.step()
    for old, new in zip(held, (net[1].weight, net[1].bias, net[2].filter), strict=True):
        assert torch.equal(old[:6], new[:6])
        assert not torch.equal(old[6:], new[6:])


def grower(**arguments: object) -> tuple[nn.Module, Ledger, BlockGrowth]:
    net = net_of("mlp")
    growth = BlockGrowth(**{"units": 3, "patience": 2, "strength": 1e-3, **arguments})
    growth.wrap(net, TASKS)
    ledger = Ledger(net, optimizer_of("sgd", net))
    ledger.attach(growth)
    return net, ledger, growth


def test_blocks_that_help_are_kept_and_the_next_is_larger() -> None:
    net, ledger, growth = grower(improvement=0.0)
    growth._judge = lambda loss: "accepted"
    ledger.before_task(0, held_out=[data(0)])
    epochs_of(net, ledger, 0, epochs=6)
    ledger.after_task(0)
    assert [block["units"] for block in growth.history] == [3, 6]
    assert widths(ledger) == {"features.fc1": 17, "features.fc2": 17}
    assert all(block["loss_before"] >= block["loss_after"] for block in growth.history)


def test_a_block_that_does_not_help_leaves_no_trace() -> None:
    net, ledger, growth = grower(improvement=0.99)
    ledger.before_task(0, held_out=[data(0)])
    epochs_of(net, ledger, 0, epochs=2)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    ledger.before_epoch(2, 4, 5)
    assert widths(ledger) == {"features.fc1": 11, "features.fc2": 11}
    epochs = [p.detach().clone() for p in net.parameters()]
    for _ in range(5):
        ledger.optimizer.zero_grad()
        (cross_entropy(net(data(0)[0], data(0)[2]), data(0)[1]) + ledger.penalty()).backward()
        ledger.optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(epochs, net.parameters(), strict=True))
    ledger.after_task(0)
    assert [block["fate"] for block in growth.history] == ["rejected"]
    assert net.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_units_that_die_before_a_block_comes_are_gone_whoever_collects() -> None:
    net, ledger, growth = grower(improvement=0.99, patience=1)
    ledger.attach(NeuronGC())
    ledger.before_task(0, held_out=[data(0)])
    epochs_of(net, ledger, 0, epochs=1)
    filters_of(net)["features.fc1"][1].filter.data[:3] = -1.0
    ledger.before_epoch(1, 3, 5)
    assert widths(ledger) == {"features.fc1": 8, "features.fc2": 11}
    ledger.before_epoch(2, 3, 5)
    ledger.after_task(0)
    assert [block["fate"] for block in growth.history] == ["rejected", "rejected"][: len(growth.history)]
    assert widths(ledger) == {"features.fc1": 5, "features.fc2": 8}


def test_a_block_that_collapses_is_tried_again_at_a_lower_cost_until_that_is_too_low() -> None:
    net, ledger, growth = grower(strength=100.0, decay=5.0, least=10.0, patience=1)
    ledger.before_task(0, held_out=[data(0)])
    epochs_of(net, ledger, 0, epochs=8)
    ledger.after_task(0)
    assert [(block["fate"], block["strength"]) for block in growth.history] == [("collapsed", 100), ("collapsed", 20)]
    assert widths(ledger) == {"features.fc1": 8, "features.fc2": 8}


def test_later_tasks_grow_beside_frozen_units() -> None:
    net, ledger, growth = grower(improvement=0.01)
    before: dict[int, Tensor] = {}
    for task in range(TASKS):
        start = widths(ledger)
        ledger.before_task(task, held_out=[data(task)])
        epochs_of(net, ledger, task, epochs=7)
        ledger.after_task(task)
        assert all(n >= start[layer] for layer, n in widths(ledger).items())
        before[task] = outputs(net, task)
        for earlier, logits in before.items():
            torch.testing.assert_close(outputs(net, earlier), logits, rtol=1e-4, atol=1e-5)
    assert {block["task"] for block in growth.history} == {0, 1, 2}
    assert growth.statistics() == {"blocks": growth.history}


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0, 0.9), st.booleans())
def test_the_rule_of_acceptance(before: float, after: float, improvement: float, dead: bool) -> None:
    _, ledger, growth = grower(improvement=improvement)
    growth._block = widths(ledger)
    for layer, n in widths(ledger).items():
        ledger.resize(layer, torch.arange(n), add=2)
    if dead:
        filters_of(ledger.model)["features.fc2"][1].filter.data[8:] = -1
    growth._best = before
    expected = "collapsed" if dead else "accepted" if after < before - improvement * before else "rejected"
    if abs(after - before * (1 - improvement)) > 1e-9:
        assert growth._judge(after) == expected


def test_what_cannot_be_is_one_line() -> None:
    for make, said in (
        (lambda: GrownUnits(units=0), "units must be at least 1"),
        (lambda: GrownUnits(train="none"), "train all or block"),
        (lambda: BlockGrowth(units=0), "units, factor and patience must be at least 1"),
        (lambda: BlockGrowth(factor=0.5), "units, factor and patience must be at least 1"),
        (lambda: BlockGrowth(improvement=1), "improvement must be from 0 to below 1"),
        (lambda: BlockGrowth(decay=1), "decay above 1"),
        (lambda: BlockGrowth(least=0), "least above 0"),
        (lambda: BlockGrowth(strength=-1), "strength must be at least 0"),
        (lambda: Ledger(nn.Linear(3, 2)).attach(GrownUnits()), "there is no hidden layer"),
    ):
        with pytest.raises(ValueError, match=said):
            make()
    net = nn.Sequential(nn.Linear(3, 4), FlexibleLayer(4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="a window moves for all units of a layer together: choose all"):
        Ledger(net).attach(GrownUnits(train="block"))
    Ledger(net).attach(GrownUnits())
    _, ledger, _ = grower()
    with pytest.raises(UserError, match="BlockGrowth judges blocks by data that are held out: set validation above 0"):
        ledger.before_task(0)

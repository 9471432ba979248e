"""Filters in training: costs, groups of the optimizer, decay, protection, ablation; each against the obvious way."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cl_sparse.errors import UserError
from cl_sparse.layers import Sparsifier
from cl_sparse.layers.consumers import Consumers
from cl_sparse.layers.filter_placement import filters_of
from cl_sparse.models import MultiHead, SimpleCNN, SimpleMLP, SingleHead
from cl_sparse.synapses import (
    BlockGrowth,
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

N_IN, TASKS = 10, 2


def net_of(heads: int = TASKS, units: int = 20) -> SimpleMLP:
    torch.manual_seed(0)
    head = (lambda n: MultiHead(n, heads, 3)) if heads > 1 else (lambda n: SingleHead(n, 3))
    return SimpleMLP((N_IN,), head, hidden_units=units, hidden_layers=2)


def data(task: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(task)
    x = torch.randn(32, N_IN, generator=generator)
    return x, (x[:, task] > 0).long(), torch.full((32,), task)


def made(*mechanisms: Mechanism, heads: int = TASKS, weight_decay: float = 0.0) -> tuple[SimpleMLP, Ledger]:
    net = net_of(heads)
    mechanisms[0].wrap(net, TASKS)
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=weight_decay))
    for mechanism in mechanisms:
        ledger.attach(mechanism)
    return net, ledger


def learn(net: nn.Module, ledger: Ledger, task: int, epochs: int = 3, steps: int = 10) -> None:
    x, y, labels = data(task)
    ledger.before_task(task)
    for epoch in range(epochs):
        net.train()
        ledger.before_epoch(epoch, epochs, steps)
        for _ in range(steps):
            ledger.optimizer.zero_grad()
            (cross_entropy(net(x, labels), y) + ledger.penalty()).backward()
            ledger.optimizer.step()
    ledger.after_task(task, [data(task)])


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


def test_a_window_moves_towards_fewer_units() -> None:
    net, ledger = made(FlexibleWidth(strength=0.05, filter_lr=1.0))
    before = [float(own.size().detach()) for _, own in filters_of(net).values()]
    learn(net, ledger, 0)
    after = [float(own.size().detach()) for _, own in filters_of(net).values()]
    assert before == pytest.approx([10.0, 10.0], abs=0.1)
    assert all(b < a for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("random_slope", [False, True])
def test_a_window_stays_open_at_first_and_then_starts_where_it_was_to_start(random_slope: bool) -> None:
    sizes = FlexibleWidth(strength=0.05, start=0.25, after=2, random_slope=random_slope)
    net, ledger = made(sizes)
    plain, own = net_of(), [window for _, window in filters_of(net).values()]
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    x, y, labels = data(0)
    ledger.before_task(0)
    for epoch in range(4):
        ledger.before_epoch(epoch, 4, 5)
        if epoch == 2:
            assert [float(window.edge.detach()) for window in own] == [5.0, 5.0]
        for _ in range(5):
            for one, its, cost in ((net, ledger.optimizer, ledger.penalty()), (plain, optimizer, 0.0)):
                its.zero_grad()
                (cross_entropy(one(x, labels), y) + cost).backward()
                its.step()
        if epoch == 1:  # the net without windows
            torch.testing.assert_close(net(x, labels), plain(x, labels))
    assert all(float(window.edge.detach()) != 5.0 for window in own)
    before = [float(window.edge.detach()) for window in own]
    ledger.before_task(1)
    ledger.before_epoch(0, 4, 5)
    assert [float(window.edge.detach()) for window in own] == before


def test_a_window_that_never_starts_is_refused() -> None:
    _, ledger = made(FlexibleWidth(after=3))
    ledger.before_task(0)
    with pytest.raises(UserError, match="after must be below the 3 epochs of the first task"):
        ledger.before_epoch(0, 3, 5)


@pytest.mark.parametrize("kind", ["mlp", "masked", "live", "cnn", "winners"])
def test_ablation_is_the_rise_of_the_loss_with_outgoing_weights_cut(kind: str) -> None:
    torch.manual_seed(0)
    if kind == "cnn":
        net: nn.Module = SimpleCNN((1, 9, 9), lambda n: SingleHead(n, 3), hidden_units=6)
        x = torch.randn(5, 1, 9, 9)
    else:
        live = {"weight_sparsity_fc": 0.6, "weights": "sparse" if kind == "live" else "masked"}
        more = {"mlp": None, "masked": live, "live": live, "winners": {"compute": "winners"}}[kind]
        sparse = {} if more is None else {"sparsify": True, "percent_on_fc": 0.3, **more}
        net = SimpleMLP((N_IN,), lambda n: SingleHead(n, 3), hidden_units=10, hidden_layers=2, **sparse)
        x = torch.randn(5, N_IN)
    y = torch.tensor([0, 1, 2, 0, 1])
    net.train()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    found = ablation_importance(net, [(x[:3], y[:3]), (x[3:], y[3:])], samples=4)
    assert net.training
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    net.eval()
    for module in net.modules():
        if hasattr(module, "observed"):
            module.observed = True
    for layer, own in net.consumers().items():
        reader = net.get_submodule(own.readers[0])
        weight = (reader.values if kind == "live" else reader.weight).detach()
        units = len(found[layer])
        if kind == "live":
            of_unit = [(reader.indices[1] == unit) for unit in range(units)]
        else:
            block = weight.shape[1] // units
            columns = torch.arange(weight.shape[1]) // block
            of_unit = [columns == unit for unit in range(units)]
        for unit in range(min(units, 7)):
            kept = weight.clone()
            with torch.no_grad():
                whole = cross_entropy(net(x[:4]), y[:4])
                weight[(..., of_unit[unit]) if kind == "live" else (slice(None), of_unit[unit])] = 0
                without = cross_entropy(net(x[:4]), y[:4])
                weight.copy_(kept)
            assert float(found[layer][unit]) == pytest.approx(float(without - whole), abs=1e-5)


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


@pytest.mark.parametrize("shape", [(32,), (32, 1)])
def test_what_is_measured_by_classes_is_refused_for_numbers(shape: tuple[int, ...]) -> None:
    net = nn.Sequential(nn.Linear(N_IN, 6), nn.ReLU(), nn.Linear(6, 1))
    numbers = [(torch.randn(32, N_IN), torch.randn(shape))]
    with pytest.raises(ValueError, match="cross-entropy needs classes as targets, not numbers"):
        ablation_importance(net, numbers)
    growth = BlockGrowth(patience=1)
    growth.wrap(net, 1)
    ledger = Ledger(net)
    ledger.attach(growth)
    ledger.before_task(0, numbers, numbers)
    with pytest.raises(ValueError, match="cross-entropy needs classes as targets, not numbers"):
        ledger.before_epoch(1, 5, 1)

    def square(out: Tensor, y: Tensor) -> Tensor:
        return (out[:, 0] - y.flatten()).square().mean()

    assert ablation_importance(net, numbers, loss=square)["0"].abs().sum() > 0


def test_ablation_meets_the_heads_of_mixed_tasks_and_layers_called_twice() -> None:
    net = net_of()
    x, y, _ = data(0)
    labels = torch.arange(32) % 2
    net.eval()
    found = ablation_importance(net, [(x, y, labels)])
    for layer, own in net.consumers().items():
        for unit in range(20):
            weights = [net.get_submodule(name).weight.detach() for name in own.readers]
            kept = [weight[:, unit].clone() for weight in weights]
            with torch.no_grad():
                whole = cross_entropy(net(x, labels), y)
                for weight in weights:
                    weight[:, unit] = 0
                without = cross_entropy(net(x, labels), y)
                for weight, column in zip(weights, kept, strict=True):
                    weight[:, unit] = column
            assert float(found[layer][unit]) == pytest.approx(float(without - whole), abs=1e-6)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))

        def consumers(self) -> dict[str, Consumers]:
            return {"net.0": Consumers((), ("net.2",))}

        def forward(self, x: Tensor) -> Tensor:
            return self.net(self.net(x))

    twice = Twice()
    x, y = torch.randn(8, 4), torch.randint(4, (8,))
    rises = ablation_importance(twice, [(x, y)])["net.0"]
    for unit in range(6):
        with torch.no_grad():
            whole, kept = cross_entropy(twice(x), y), twice.net[2].weight[:, unit].clone()
            twice.net[2].weight[:, unit] = 0
            assert float(rises[unit]) == pytest.approx(float(cross_entropy(twice(x), y) - whole), abs=1e-6)
            twice.net[2].weight[:, unit] = kept
    assert not any("forward" in vars(module) for module in twice.modules())

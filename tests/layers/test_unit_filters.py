"""Filters of units: slow references for values, gradients and costs; places in a net; folding into weights."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cl_sparse.layers import (
    FlexibleLayer,
    KWinners,
    KWinners2d,
    SparseLinear,
    SparseWeights,
    SparseWeights2d,
    Sparsifier,
    SwitchLayer,
    UnitFilter,
    WinnerLinear,
    fold_filters,
    insert_filters,
)
from cl_sparse.layers.filter_placement import filters_of

N = 6
SHAPES = [(3, N), (3, N, 2, 4)]


def filter_of(kind: str) -> UnitFilter:
    """Return a filter of N units, some of which are dead or on their way."""
    torch.manual_seed(0)
    if kind == "sparsifier":
        layer: UnitFilter = Sparsifier(N, cost=2.0).double()
        layer.filter.data = torch.tensor([1.0, -0.5, 0.3, 0.0, 2.0, 1e-9]).double()
    elif kind == "switch":
        layer = SwitchLayer(N, cost=2.0).double()
        layer.killed[2] = True
    else:
        layer = FlexibleLayer(N, cost=2.0, size=2.5, steepness=0.7).double()
    return layer


def slow_factors(kind: str, layer: UnitFilter) -> list[Tensor]:
    """Return the factor of each unit, one at a time, as the equations say."""
    if kind == "sparsifier":
        return [f if f > 0 else 0 * f for f in layer.filter]
    if kind == "switch":
        return [0 * b if dead else b for b, dead in zip(layer.switch, layer.killed, strict=True)]
    return [1 / (1 + torch.exp(layer.steepness * (i - layer.edge))) for i in range(N)]


def slow_cost(kind: str, layer: UnitFilter) -> Tensor:
    if kind == "flexible":  # the integral, by the trapezoidal rule
        t = torch.linspace(0, N, 100001, dtype=torch.float64)
        return 2.0 * torch.trapezoid(1 / (1 + torch.exp(layer.steepness * (t - layer.edge))), t)
    return 2.0 * sum(abs(s) for s in slow_factors(kind, layer))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["sparsifier", "switch", "flexible"])
def test_values_and_gradients_are_the_equations(kind: str, shape: tuple[int, ...]) -> None:
    layer, again = filter_of(kind), filter_of(kind)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    z = x.detach().clone().requires_grad_()
    y = layer(x)
    expected = torch.stack([s * z[:, i] for i, s in enumerate(slow_factors(kind, again))], dim=1)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=0)
    loss = y.square().sum() + layer.penalty()
    slow = expected.square().sum() + slow_cost(kind, again)
    torch.testing.assert_close(loss, slow)
    loss.backward()
    slow.backward()
    torch.testing.assert_close(x.grad, z.grad)
    for own, other in zip(layer.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["sparsifier", "switch"])
def test_exempt_units_cost_nothing_and_the_dead_are_named(kind: str) -> None:
    layer = filter_of(kind)
    exempt = torch.tensor([True, False, False, False, True, False])
    expected = 2.0 * layer.factors().abs()[~exempt].sum()
    torch.testing.assert_close(layer.penalty(exempt), expected)
    dead = [1, 3] if kind == "sparsifier" else [2]
    assert layer.dead().nonzero().flatten().tolist() == dead
    layer.penalty(exempt).backward()
    grad = next(layer.parameters()).grad
    assert not grad[exempt].any()
    assert not grad[layer.dead()].any()


@given(st.floats(-1e4, 1e4), st.floats(0.01, 50), st.integers(1, 500))
def test_the_flexible_size_is_finite_bounded_and_pulls_the_edge_down(edge: float, k: float, n: int) -> None:
    layer = FlexibleLayer(n, size=edge, steepness=k)
    size = layer.size()
    size.backward()
    size = size.detach()
    assert -1e-2 <= float(size) <= n + 1e-2
    assert math.isfinite(float(layer.edge.grad))
    assert -1e-5 <= float(layer.edge.grad) <= 1 + 1e-5
    exact = FlexibleLayer(n, size=edge, steepness=k).double().size().detach()
    torch.testing.assert_close(size.double(), exact, rtol=1e-3, atol=5e-3)
    if n < edge - 50 / k:
        torch.testing.assert_close(exact, torch.tensor(float(n)).double())


def test_a_random_slope_is_drawn_in_training_only_and_from_its_range() -> None:
    layer = FlexibleLayer(40, size=20.0, random_slope=True)
    x = torch.ones(1, 40)
    assert torch.equal(layer.eval()(x), layer(x))
    layer.train()
    widths = []
    for _ in range(200):
        k = -float(torch.logit(layer(x)[0, 21].detach()))  # one unit beyond the edge: σ(−k)
        widths.append(2 * math.log(99) / k)
    assert 0.99 < min(widths) < 3
    assert 18 < max(widths) < 20.1
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)


@given(st.lists(st.sampled_from([-1.0, 1.0]), min_size=1, max_size=60), st.floats(0.0, 0.99))
def test_switches_follow_their_signs(signs: list[float], decay: float) -> None:
    layer = SwitchLayer(1, start="one", decay=decay, threshold=0.5)
    mean, variance, killed = 1.0, 0.0, False
    for sign in signs:
        layer.switch.data.fill_(sign * 0.1)
        layer.watch_signs()
        d = sign - mean
        variance = decay * variance + (1 - decay) * d * d
        mean = decay * mean + (1 - decay) * sign
        killed = killed or variance > 0.5 + 1e-5
        assert float(layer.sign_variance) == pytest.approx(variance, abs=1e-4)
        assert float(layer.sign_mean) == pytest.approx(mean, abs=1e-4)
    if killed:
        assert bool(layer.killed)
        assert not layer(torch.ones(2, 1)).any()
    if len(set(signs)) == 1 and signs[0] == 1:
        assert not layer.killed.any()


def test_a_killed_switch_never_comes_back() -> None:
    layer = SwitchLayer(3, start="one", decay=0.5)
    for sign in (-1.0, 1.0, -1.0, 1.0):
        layer.switch.data[0] = sign
        layer.watch_signs()
    assert layer.killed.tolist() == [True, False, False]
    for _ in range(50):
        layer.switch.data[0] = 5.0
        layer.watch_signs()
    assert layer.killed.tolist() == [True, False, False]
    assert layer.factors().tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("make", [Sparsifier, SwitchLayer, FlexibleLayer])
def test_filters_are_put_where_the_net_is_in_its_type_and_mode(make: type[UnitFilter]) -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).to("meta", torch.float64).eval()
    insert_filters(net, make)
    assert {(t.device.type, t.dtype) for t in net[1].parameters()} == {("meta", torch.float64)}
    assert {t.device.type for t in net[1].buffers()} <= {"meta"}
    assert not net[1].training


def net_of(kind: str) -> nn.Sequential:
    torch.manual_seed(1)
    if kind == "linear":
        return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3))
    if kind == "sparse":
        return nn.Sequential(
            SparseWeights(nn.Linear(5, 7), sparsity=0.4),
            KWinners(7, 0.5),
            SparseLinear(7, 6, density=0.5),
            nn.ReLU(),
            nn.Linear(6, 3),
        )
    return nn.Sequential(
        nn.Unflatten(1, (1, 5, 5)),
        nn.Conv2d(1, 4, 2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        SparseWeights2d(nn.Conv2d(4, 6, 3), sparsity=0.5),
        KWinners2d(6, 0.5),
        nn.Flatten(),
        nn.Linear(24, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def inputs_of(kind: str) -> Tensor:
    return torch.randn(9, 25 if kind == "conv" else 5, generator=torch.Generator().manual_seed(2)).double()


@pytest.mark.parametrize("filters", [Sparsifier, SwitchLayer, FlexibleLayer])
@pytest.mark.parametrize("kind", ["linear", "sparse", "conv"])
def test_folded_filters_give_the_same_outputs(kind: str, filters: type[UnitFilter]) -> None:
    net = net_of(kind)
    insert_filters(net, filters)
    for module in net.modules():
        if isinstance(module, Sparsifier):
            nn.init.uniform_(module.filter, -1, 2)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight)
    net.double().eval()
    names = [name for name, module in net.named_modules() if isinstance(module, UnitFilter)]
    before = net(inputs_of(kind))
    fold_filters(net)
    torch.testing.assert_close(net(inputs_of(kind)), before, rtol=1e-10, atol=1e-12)
    assert all(isinstance(net.get_submodule(name), nn.Identity) for name in names)
    assert len(names) == (3 if kind == "conv" else 2)
    for module in net.modules():
        if isinstance(module, SparseWeights | SparseWeights2d):
            assert not module.weight[module.zero_mask].any()


def test_filters_stand_behind_the_normalisation_and_cost_a_kernels_area() -> None:
    net = net_of("conv")
    insert_filters(net, Sparsifier)
    assert [type(module).__name__ for module in net][1:4] == ["Conv2d", "BatchNorm2d", "Sparsifier"]
    found = filters_of(net)
    assert {layer: (name, own.n, own.cost) for layer, (name, own) in found.items()} == {
        "1": ("1_filter", 4, 4.0),
        "4": ("4_filter", 6, 9.0),
        "7": ("7_filter", 8, 1.0),
    }


def test_what_cannot_be_is_one_line() -> None:
    for make, said in (
        (lambda: Sparsifier(0), "Sparsifier: n must be at least 1"),
        (lambda: Sparsifier(3, cost=-1), "cost at least 0"),
        (lambda: Sparsifier(3, start="two"), "start must be one or uniform"),
        (lambda: SwitchLayer(3, decay=1.0), "decay must be from 0 to below 1"),
        (lambda: SwitchLayer(3, start="two"), "start must be normal, uniform or one"),
        (lambda: FlexibleLayer(3, steepness=0), "steepness must be above 0"),
        (lambda: FlexibleLayer(3, size=math.inf), "size a number"),
        (lambda: FlexibleLayer(3).penalty(torch.ones(3).bool()), "none can be exempt"),
        (lambda: Sparsifier(3)(torch.ones(2, 4)), r"must be of shape \(B, 3, ...\), not \(2, 4\)"),
        (lambda: Sparsifier(3)(torch.ones(3)), r"not \(3,\)"),
    ):
        with pytest.raises(ValueError, match=said) as refused:
            make()
        assert "\n" not in str(refused.value)


def test_places_that_cannot_be_are_refused_and_nothing_changes() -> None:
    net = net_of("linear")
    insert_filters(net, Sparsifier)
    with pytest.raises(ValueError, match="has a filter already"):
        insert_filters(net, Sparsifier)
    winners = nn.Sequential(WinnerLinear(5, 6), KWinners(6, 0.5), nn.Linear(6, 2))
    with pytest.raises(ValueError, match="computes only what wins"):
        insert_filters(winners, Sparsifier)
    with pytest.raises(ValueError, match="there is no hidden layer"):
        insert_filters(nn.Linear(3, 4), Sparsifier)
    late = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), Sparsifier(6), nn.Linear(6, 2))
    with pytest.raises(ValueError, match="2 does not stand right behind a weight layer"):
        fold_filters(late)
    assert isinstance(late[2], Sparsifier)

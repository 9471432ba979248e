"""Layers that store their live synapses only: gradients and coactivations at candidates, against dense ones."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cl_sparse.layers import KWinners, SparseLinear
from cl_sparse.synapses import DynamicConnectivity, Ledger, SparseTraining
from cl_sparse.synapses.live_gradients import LiveGradients

RULES = [
    ({"magnitude": 0.3}, "gradient"),
    ({"coactivation": 0.3}, "coactivation"),
    ({"weighted_magnitude": 0.3}, "random"),
    ({"opposite": 0.3}, "opposite"),
    ({"signed_magnitude": 0.3}, "cosine"),
]


def a_net(seed=0, inputs="any", sizes=(9, 12, 6), density=0.3):
    torch.manual_seed(seed)
    first, second = (
        SparseLinear(i, o, density=density, inputs=kind)
        for i, o, kind in zip(sizes, sizes[1:], ("any", inputs), strict=False)
    )
    return nn.Sequential(first, KWinners(sizes[1], 0.5, boost_strength=0.0), second, nn.ReLU(), nn.Linear(sizes[2], 3))


def step(net, optimizer, seed, rows=20):
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, net[0].in_features, generator=drawn)
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), torch.randint(3, (rows,), generator=drawn)).backward()
    optimizer.step()
    return x


def trained(mechanism, steps=3, **kind):
    net = a_net(**kind)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    ledger = Ledger(net, optimizer)
    ledger.attach(mechanism)
    ledger.before_task(0)
    ledger.before_epoch(0, 2, steps)
    seen = [step(net, optimizer, seed) for seed in range(steps)]
    return net, ledger, seen


def mask_of(layer):
    mask = torch.zeros(layer.out_features, layer.in_features, dtype=torch.bool)
    mask[tuple(layer.indices)] = True
    return mask


@pytest.mark.parametrize("inputs", ["any", "winners"])
@pytest.mark.parametrize("passes", [1, 2])
def test_gradients_are_those_of_a_dense_layer(inputs, passes):
    net = a_net(inputs=inputs)
    gradients = LiveGradients({"0": net[0], "2": net[2]})
    twin = copy.deepcopy(net)
    for name in (0, 2):
        twin[name] = twin[name].to_masked().module
    optimizer = torch.optim.SGD([*net.parameters(), *twin.parameters()], lr=0.0)
    for _ in range(2):
        optimizer.zero_grad()
        for _ in range(passes):
            x = torch.randn(20, 9)
            for model in (net, twin):
                model(x).logsumexp(1).sum().backward()
        net.eval()
        net(x).sum().backward()  # a test
        net.train()
        gradients.step()
    for name in (0, 2):
        places = torch.randperm(twin[name].weight.numel())[:30]
        expected = twin[name].weight.grad.flatten()[places]
        torch.testing.assert_close(gradients.at(str(name), places), expected, rtol=1e-5, atol=1e-6)
    gradients.load_state_dict(gradients.state_dict())
    torch.testing.assert_close(gradients.at("2", places), expected, rtol=1e-5, atol=1e-6)
    gradients.forget()
    assert not gradients.at("2", places).any()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("average", [None, 0.25])
def test_coactivations_are_those_of_a_dense_layer(binary, average):
    mechanism = DynamicConnectivity(
        {"coactivation": 0.3}, "cosine", binary=binary, moving_average=average, candidates=2
    )
    net = a_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    ledger = Ledger(net, optimizer)
    ledger.attach(mechanism)
    ledger.before_task(0)
    slow = {"0": torch.zeros(12, 9), "2": torch.zeros(6, 12)}
    for seed in range(3):
        before = copy.deepcopy(net)
        x = step(net, optimizer, seed)
        with torch.no_grad():
            h1 = before[1](before[0](x))
            h2 = before[3](before[2](h1))
        for name, y, into in (("0", h1, x), ("2", h2, h1)):
            one, other = ((y > 0).float(), (into > 0).float()) if binary else (y, into)
            slow[name] = slow[name] * (1 if average is None else 1 - average) + (average or 1) * one.T @ other
    watching = mechanism.sight.watching
    for name, dense in slow.items():
        live = mask_of(net[int(name)])
        places = watching.looked_at[name]
        assert torch.isin(live.flatten().nonzero().flatten(), places).all()
        assert len(places) < live.numel()
        torch.testing.assert_close(watching.both[name], dense.flatten()[places])


@pytest.mark.parametrize(("drop", "grow"), RULES)
def test_with_all_places_as_candidates_the_best_are_taken(drop, grow):
    """A masked layer's rules, seen from the outside: nothing that stays is worse, nothing free is better."""
    mechanism = DynamicConnectivity(drop, grow, candidates=1000)
    net, ledger, _ = trained(mechanism)
    before = mask_of(net[0])
    worth = None
    if grow == "gradient":
        worth = mechanism.sight.gradients.at("0", torch.arange(12 * 9)).view(12, 9).abs()
    elif grow in ("coactivation", "opposite"):
        worth = torch.zeros(12 * 9)
        worth[mechanism.sight.watching.looked_at["0"]] = mechanism.sight.watching.both["0"]
        worth = worth.view(12, 9) * (1 if grow == "coactivation" else -1)
        assert len(mechanism.sight.watching.looked_at["0"]) == 12 * 9
    elif grow == "cosine":
        watching = mechanism.sight.watching
        lengths = (watching.units["0"][:, None] * watching.inputs["0"]).sqrt()
        worth = torch.where(lengths > 0, watching.both["0"].view(12, 9) / lengths, 0)
    ledger.before_epoch(1, 2, 3)
    after = mask_of(net[0])
    new, gone = after & ~before, before & ~after
    signs = 2 if "magnitude" in next(iter(drop)) and next(iter(drop)) != "magnitude" else 1
    assert abs(int(new.sum()) - round(0.3 * int(before.sum()))) <= signs - 1
    assert int(new.sum()) == int(gone.sum())
    assert not (new & before).any()
    if worth is not None:
        assert worth[new].min() >= worth[~before & ~new].max()


@pytest.mark.parametrize(("drop", "grow"), [*RULES, ({"signed_magnitude": 0.3}, "random")])
def test_nothing_as_large_as_a_dense_layer_is_ever_made(drop, grow):
    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, tuple | list) else [made]:
                if isinstance(tensor, torch.Tensor):
                    self.numel = max(self.numel, tensor.numel())
            return made

    sizes = (1500, 1500, 1500)
    with Largest() as largest:
        mechanism = DynamicConnectivity(drop, grow, candidates=5)
        _, ledger, _ = trained(mechanism, steps=2, sizes=sizes, density=2 / 1500)
        ledger.before_epoch(1, 2, 2)
    moved = mechanism.statistics()["changes"][0]["layers"]["0.values"]
    assert moved["moved"] == pytest.approx(0.3 * 3000, abs=1)
    assert largest.numel < 1500 * 1500 / 20
    assert mechanism.nbytes < 1500 * 1500
    if grow in ("coactivation", "cosine", "opposite"):
        assert len(mechanism.sight.watching.looked_at["0"]) == 3000 + 5 * 901


@pytest.mark.parametrize(("drop", "grow"), RULES)
@pytest.mark.parametrize("stop", [2, 4, 5])
def test_training_goes_on_where_it_stopped(drop, grow, stop):
    def fresh():
        net = a_net()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        mechanism = DynamicConnectivity(drop, grow, every=None if stop < 5 else 2)
        return net, optimizer, SparseTraining(net, optimizer, None, mechanism, epochs=3, steps=2, leave=["4"])

    def train(parts, first, last):
        for seed in range(first, last):
            step(parts[0], parts[1], seed)
            parts[2].step()

    whole, one, other = fresh(), fresh(), fresh()
    train(whole, 0, 6)
    train(one, 0, stop)
    states = copy.deepcopy([part.state_dict() for part in one])
    copies = copy.deepcopy(one)
    for part, state in zip(other, states, strict=True):
        part.load_state_dict(state)
    for parts in (other, copies):
        train(parts, stop, 6)
        assert all(torch.equal(a, b) for a, b in zip(whole[0].parameters(), parts[0].parameters(), strict=True))
        assert all(torch.equal(mask, parts[2].masks()[name]) for name, mask in whole[2].masks().items())

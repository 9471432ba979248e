"""SETLinear: counts, places, momenta, states; and the two nets made of it."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cl_sparse.layers import SETLinear, SparseLinear
from cl_sparse.models import EvolNet, SparseNet
from cl_sparse.wiring.places import draw_distinct, draw_free

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.5, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
}


def train(layer, optimizer, steps=3):
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.randn(16, layer.in_features)).square().sum().backward()
        optimizer.step()


def weights(layer):
    return {(int(u), int(i)): float(w) for u, i, w in zip(*layer.indices, layer.values.detach(), strict=True)}


@given(st.integers(0, 60), st.data())
def test_what_is_drawn_is_distinct_and_free(n, data):
    taken = torch.tensor(data.draw(st.lists(st.integers(0, max(0, n - 1)), unique=True, max_size=n)), dtype=torch.long)
    k = data.draw(st.integers(0, n - len(taken)))
    drawn = draw_free(taken, n, k, torch.Generator().manual_seed(0))
    assert len(set(drawn.tolist())) == k == len(drawn)
    assert not set(drawn.tolist()) & set(taken.tolist())
    assert all(0 <= place < n for place in drawn.tolist())
    assert sorted(draw_free(taken, n, None).tolist()) == sorted(set(range(n)) - set(taken.tolist()))


def test_every_free_place_is_as_likely():
    torch.manual_seed(0)
    drawn = torch.cat([draw_free(torch.tensor([3, 0]), 8, 2) for _ in range(3000)]).bincount(minlength=8)
    assert drawn[[0, 3]].tolist() == [0, 0]
    torch.testing.assert_close(drawn[[1, 2, 4, 5, 6, 7]] / 3000, torch.full((6,), 1 / 3), atol=0.04, rtol=0)
    with pytest.raises(ValueError, match="5 different numbers below 4"):
        draw_distinct(4, 5)


def test_counts_and_spread_are_the_published_ones():
    torch.manual_seed(0)
    first, second = SETLinear(784, 512), SETLinear(512, 128)
    assert (first.values.numel(), second.values.numel()) == (14_256, 7_040)
    assert float(first.values.detach().std()) == pytest.approx((2 / 784) ** 0.5, rel=0.05)
    assert float(first.bias.detach().std()) == pytest.approx((2 / 784) ** 0.5, rel=0.2)
    assert sum(p.numel() for p in SparseNet().parameters()) == 23_226
    assert first(torch.randn(3, 784)).shape == (3, 512)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("bias", [True, False])
def test_what_was_zeroed_moves_and_nothing_else(optimizer, bias):
    torch.manual_seed(0)
    layer = SETLinear(20, 10, density=0.3, zeta=0.4, bias=bias)
    trained = OPTIMIZERS[optimizer](layer.parameters())
    train(layer, trained)
    before = weights(layer)
    layer.zero_connections()
    positive, negative = sorted(w for w in before.values() if w >= 0), sorted(-w for w in before.values() if w < 0)
    gone = {*positive[: int(0.4 * len(positive))], *(-w for w in negative[: int(0.4 * len(negative))])}
    zeroed = {place for place, w in weights(layer).items() if w == 0}
    assert {before[place] for place in zeroed} == gone

    moments = {name: x.clone() for name, x in trained.state[layer.values].items() if x.dim()}
    by_place = {name: dict(zip(before, x.tolist(), strict=True)) for name, x in moments.items()}
    layer.evolve_connections(trained)
    after = weights(layer)
    kept = before.keys() - zeroed
    assert after.keys() & before.keys() == kept
    assert len(after) == len(before) == 60
    assert all(after[place] == before[place] for place in kept)
    assert all(after[place] != 0 for place in after.keys() - kept)
    for name, of_place in by_place.items():
        now = dict(zip(after, trained.state[layer.values][name].tolist(), strict=True))
        assert all(now[place] == (of_place[place] if place in kept else 0) for place in after)
    assert not layer.marked.any()
    train(layer, trained)


def test_marks_are_forgotten_by_a_second_zeroing_and_once_moved():
    torch.manual_seed(0)
    layer = SETLinear(20, 10, density=0.3)
    layer.zero_connections()
    first = layer.marked.clone()
    with torch.no_grad():
        layer.values.copy_(torch.where(first, 5.0, layer.values))
    layer.zero_connections()
    assert not (layer.marked & first).any()
    layer.evolve_connections()
    layer.evolve_connections()  # with nothing remembered it marks afresh
    assert layer.values.numel() == 60


def test_full_empty_and_nearly_full_layers():
    for density, zeta in ((1.0, 0.5), (0.0, 0.5), (0.95, 1.0), (0.5, 0.0)):
        layer = SETLinear(10, 6, density=density, zeta=zeta)
        n = layer.values.numel()
        layer.evolve_connections()
        assert len(weights(layer)) == n == int(density * 60)


def test_states_copies_and_other_layers():
    torch.manual_seed(0)
    layer = SETLinear(20, 10, density=0.3)
    layer.zero_connections()
    other = SETLinear(20, 10, density=0.2)
    other.load_state_dict(layer.state_dict())
    assert weights(other) == weights(layer)
    assert torch.equal(other.marked, layer.marked)
    for one in (copy.deepcopy(layer), other):
        one.evolve_connections(generator=torch.Generator().manual_seed(1))
    layer.evolve_connections(generator=torch.Generator().manual_seed(1))
    assert weights(layer) == weights(other)
    other.load_state_dict(SparseLinear(20, 10, density=0.1).state_dict())
    assert not other.marked.any()
    assert len(other.marked) == 20
    assert SETLinear.from_masked(layer.to_masked()).values.numel() == 60
    assert SETLinear(20, 10, density=0.3).to("meta").marked.device.type == "meta"


def test_refusals():
    for arguments, said in (
        ({"epsilon": 30.0}, "epsilon must be from 0 to 6.66667 for 20 inputs and 10 units, not 30"),
        ({"density": 1.5}, "density must be from 0 to 1, not 1.5"),
        ({"zeta": -0.1}, "zeta must be from 0 to 1, not -0.1"),
    ):
        with pytest.raises(ValueError, match=said):
            SETLinear(20, 10, **arguments)
    with pytest.raises(ValueError, match="a hidden layer are needed"):
        SparseNet([784])
    with pytest.raises(ValueError, match="p must be from 0 to 1"):
        EvolNet(2)


def test_an_evolnet_evolves_in_training_alone():
    torch.manual_seed(0)
    net = EvolNet(p=1.0, widths=(20, 16, 8), n_outputs=3, epsilon=2)
    net.optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5)
    x, y = torch.randn(30, 20), torch.randint(3, (30,))

    def places():
        return [set(weights(layer)) for layer in net.sparse_layers()]

    changed = torch.zeros(2)
    for _ in range(200):
        before = places()
        net.optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        net.optimizer.step()
        changed += torch.tensor([one != other for one, other in zip(before, places(), strict=True)])
    assert all(70 < times < 130 for times in changed.tolist())
    net.eval()
    before = places()
    net(x)
    net.train()
    with torch.no_grad():
        net(x)
    assert places() == before


def test_a_sparse_net_learns_in_a_plain_loop():
    torch.manual_seed(0)
    net = SparseNet(widths=(20, 32, 16), n_outputs=2, epsilon=4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.5)
    x = torch.randn(400, 20)
    y = (x[:, 0] > 0).long()
    for epoch in range(10):
        if epoch:
            net.evolve_connections(optimizer)
        for rows in torch.randperm(400).split(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
        net.zero_connections()
    assert (net(x).argmax(1) == y).float().mean() > 0.9

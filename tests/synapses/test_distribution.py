"""How synapses are distributed over layers: sums that are exact, and the formulas of SET and RigL."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cl_sparse.layers import SparseLinear, SparseWeights, SparseWeights2d
from cl_sparse.synapses import distribute_synapses, synapses_of
from cl_sparse.synapses.distribution import live_counts

KINDS = ["uniform", "erdos_renyi", "erdos_renyi_kernel"]


def a_net(weight_sparsity=0.2):
    torch.manual_seed(0)
    return nn.Sequential(
        SparseWeights2d(nn.Conv2d(2, 6, 3), weight_sparsity=weight_sparsity),
        nn.ReLU(),
        nn.Flatten(),
        SparseWeights(nn.Linear(24, 30), weight_sparsity=weight_sparsity),
        nn.ReLU(),
        SparseLinear(30, 8, density=weight_sparsity),
        nn.Linear(8, 3),
    )


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([(), (3, 3), (1, 5)])), max_size=5),
    share=st.floats(0, 1),
    kind=st.sampled_from(KINDS),
)
def test_the_sum_is_exact_and_layers_are_not_overfull(sizes, share, kind):
    shapes = {str(i): torch.Size((units, inputs, *kernel)) for i, (units, inputs, kernel) in enumerate(sizes)}
    total = round(share * sum(shape.numel() for shape in shapes.values()))
    counts = live_counts(shapes, kind, total)
    assert sum(counts.values()) == total
    assert all(0 <= counts[name] <= shape.numel() for name, shape in shapes.items())
    per_weight = {}
    for name, shape in shapes.items():
        nodes, area = shape[0] + shape[1], shape[2:].numel()
        weight = {"uniform": shape.numel(), "erdos_renyi": nodes * area, "erdos_renyi_kernel": nodes + sum(shape[2:])}
        if counts[name] < shape.numel():
            per_weight[name] = ((counts[name] - 1) / weight[kind], (counts[name] + 1) / weight[kind])
    if per_weight:  # one ε fits all that are not full
        assert max(low for low, _ in per_weight.values()) <= min(high for _, high in per_weight.values())


def test_the_densities_are_those_published():
    # SparseNet of the regularization study: 784-512-128, ε = 11: 14,256 and 7,040 synapses.
    shapes = {"1": torch.Size((512, 784)), "2": torch.Size((128, 512))}
    assert live_counts(shapes, "erdos_renyi", 14_256 + 7_040) == {"1": 14_256, "2": 7_040}


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_is_drawn_anew(kind):
    net = a_net()
    parameters = list(net.parameters())
    before = sum(found.n_live for found in synapses_of(net) if found.stored != "dense")
    counts = distribute_synapses(net, kind)
    assert sum(counts.values()) == before
    for found in synapses_of(net):
        if found.stored == "dense":
            continue
        assert found.n_live == counts[found.name]
        units, _ = found.places()
        bound = torch.bincount(units, minlength=found.shape[0]).clamp(min=1).rsqrt()
        live = found.of_live(found.current())
        assert (live.abs() <= bound[units]).all()
        assert (live != 0).all()
        assert int((found.current() != 0).sum()) == found.n_live
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    net(torch.randn(2, 2, 4, 4)).sum().backward()


def test_a_density_or_epsilon_may_be_given():
    net = a_net()
    counts = distribute_synapses(net, "uniform", density=0.5)
    assert counts == {"0.module.weight": 54, "3.module.weight": 360, "5.values": 120}
    counts = distribute_synapses(net, "erdos_renyi_kernel", epsilon=2.0)
    assert counts == {"0.module.weight": 28, "3.module.weight": 108, "5.values": 76}
    assert distribute_synapses(net, "erdos_renyi", epsilon=20.0)["5.values"] == 240  # no more than places


def test_bernoulli_masks_vary_in_number():
    net = a_net(0.5)
    counts = [distribute_synapses(net, "uniform", density=0.5, exact=False)["3.module.weight"] for _ in range(40)]
    assert len(set(counts)) > 5
    assert abs(sum(counts) / 40 - 360) < 4 * (720 * 0.25 / 40) ** 0.5


def test_every_place_is_as_likely():
    net = nn.Sequential(SparseWeights(nn.Linear(5, 4), weight_sparsity=0.2))
    times = torch.zeros(4, 5)
    for _ in range(1000):
        distribute_synapses(net, "erdos_renyi")
        times += net[0].live_mask()
    assert times.sum() == 4000
    assert ((times - 200).abs() < 5 * (1000 * 0.2 * 0.8) ** 0.5).all()


def test_what_cannot_be_is_refused():
    for keywords, said in (
        ({"density": 1.5}, "density must be from 0 to 1, not 1.5"),
        ({"density": 0.5, "epsilon": 1.0}, "a density or epsilon, not both"),
        ({"epsilon": 1.0}, "epsilon must be at least 0, for erdos_renyi or erdos_renyi_kernel"),
    ):
        with pytest.raises(ValueError, match=said):
            distribute_synapses(a_net(), "uniform", **keywords)
    with pytest.raises(ValueError, match="no layer is sparse"):
        distribute_synapses(nn.Linear(3, 2), "uniform")
    with pytest.raises(ValueError, match="there are 6 places for synapses, and 7 were asked for"):
        live_counts({"a": torch.Size((2, 3))}, "uniform", 7)

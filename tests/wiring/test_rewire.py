"""Dropping and growing synapses of a truly sparse layer, and the optimizer's numbers following."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.synapses import density, live_synapses, synapses_of, total_parameters


@settings(deadline=None, max_examples=60)
@given(
    n_in=st.integers(1, 15),
    n_out=st.integers(1, 15),
    live=st.floats(0, 1),
    drop=st.floats(0, 1),
    grow=st.floats(0, 1),
    inputs=st.sampled_from(["any", "winners"]),
    seed=st.integers(0, 1000),
)
def test_counts_places_and_values(
    n_in: int, n_out: int, live: float, drop: float, grow: float, inputs: Any, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = SparseLinear(n_in, n_out, density=live, inputs=inputs)
    before = layer.to_masked()
    dropped = torch.randperm(len(layer.values))[: round(drop * len(layer.values))]
    units, sources = layer.indices
    free = before.zero_mask.clone()
    free[units[dropped], sources[dropped]] = True
    places = free.nonzero()
    places = places[torch.randperm(len(places))[: round(grow * len(places))]]
    new_values = torch.randn(len(places))
    expected = before.weight.detach().clone()
    expected[units[dropped], sources[dropped]] = 0
    expected[places[:, 0], places[:, 1]] = new_values
    parameter = layer.values
    mapping = layer.rewire(dropped, (places[:, 0], places[:, 1]), new_values)
    assert layer.values is parameter
    assert len(layer.values) == len(units) - len(dropped) + len(places) == live_synapses(layer)
    assert layer.indices.unique(dim=1).shape == layer.indices.shape
    assert torch.equal(layer.to_masked().weight, expected)
    assert int((mapping.old < 0).sum()) == len(places)
    x = torch.randn(3, n_in)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, expected, layer.bias))


@pytest.mark.parametrize(
    ("drop", "grow", "message"),
    [
        ([0, 0], [[], []], "twice"),
        ([6], [[], []], "0 to 5"),
        ([], [[0], [9]], "0 to 3"),
        ([], [[1], [2]], "twice"),
    ],
)
def test_refusals(drop: list[int], grow: list[list[int]], message: str) -> None:
    layer = SparseLinear(4, 3, indices=torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 3]]))
    units, sources = (torch.tensor(ids, dtype=torch.long) for ids in grow)
    with pytest.raises(ValueError, match=message):
        layer.rewire(torch.tensor(drop, dtype=torch.long), (units, sources))
    with pytest.raises(ValueError, match="new_values"):
        layer.rewire(torch.tensor([0]), (torch.tensor([0]), torch.tensor([3])), torch.zeros(2))
    assert len(layer.values) == 6


def test_a_rate_per_synapse() -> None:
    layer = SparseLinear(5, 4, fan_in=2)
    rates = torch.tensor([0.0, 1.0]).repeat(4)
    layer.values.register_hook(lambda grad: grad * rates)
    before = layer.values.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.randn(9, 5)).square().sum().backward()
    optimizer.step()
    assert ((layer.values != before) == (rates > 0)).all()


def test_connections_of_a_sparse_layer() -> None:
    model = nn.Sequential(SparseLinear(100, 40, density=0.05, inputs="winners"), nn.Linear(40, 2))
    first, _ = synapses_of(model)
    assert (first.name, first.live, first.n_live, first.positions) == ("0.values", None, 200, 4000)
    assert first.parameter is model[0].values
    assert density(model) == {"0": 0.05, "1": 1.0}
    assert live_synapses(model) == 200 + 80
    assert total_parameters(model) == 200 + 40 + 80 + 2

"""Connections: every weight once, with the right name and mask; counts and densities."""

import pytest
import torch
from torch import nn

from cl_sparse.layers import SparseWeights
from cl_sparse.models import MultiHead, SimpleCNN, SimpleMLP
from cl_sparse.synapses import density, live_synapses, synapses_of, total_parameters


def test_dense_and_masked_layers() -> None:
    model = SimpleCNN(
        (3, 10, 10),
        lambda n: MultiHead(n, 3, 2),
        hidden_units=20,
        sparsify=True,
        percent_on_fc=0.2,
        weight_sparsity_fc=0.1,
        weight_sparsity_conv=0.5,
    )
    parameters = dict(model.named_parameters())
    found = list(synapses_of(model))
    assert [c.layer for c in found] == [
        "features.conv1",
        "features.conv2",
        "features.fc3",
        "classifier.heads.0",
        "classifier.heads.1",
        "classifier.heads.2",
    ]
    for c in found:
        assert parameters[c.name] is c.parameter
        if c.live is None:
            assert c.layer.startswith("classifier")
            assert c.n_live == c.parameter.numel()
        else:
            assert c.live.dtype == torch.bool
            assert torch.equal(c.live, c.parameter != 0)
            assert c.n_live == int(c.live.sum())
    assert len({id(c.parameter) for c in found}) == len(found)
    shares = density(model)
    assert shares["features.conv1"] == pytest.approx(0.5, abs=0.01)
    assert shares["features.fc3"] == pytest.approx(0.1, abs=0.001)
    assert shares["classifier.heads.0"] == 1.0
    assert live_synapses(model) == sum(c.n_live for c in found)
    assert total_parameters(model) == sum(p.numel() for p in parameters.values())


def test_a_live_synapse_may_be_zero() -> None:
    layer = SparseWeights(nn.Linear(10, 3), 0.2)
    with torch.no_grad():
        layer.weight.zero_()
    assert live_synapses(layer) == 6
    assert density(nn.Sequential(layer)) == {"0": 0.2}


def test_counts_by_hand() -> None:
    model = SimpleMLP((4,), lambda n: MultiHead(n, 2, 3), hidden_units=5, hidden_layers=2)
    assert live_synapses(model) == 4 * 5 + 5 * 5 + 2 * 5 * 3
    assert total_parameters(model) == live_synapses(model) + 5 + 5 + 2 * 3


def test_shared_weights_count_once_and_a_bare_layer_has_connections() -> None:
    layer = nn.Linear(3, 3)
    twin = nn.Linear(3, 3)
    twin.weight = layer.weight
    assert live_synapses(nn.Sequential(layer, twin)) == 9
    (only,) = synapses_of(layer)
    assert (only.layer, only.name) == ("", "weight")

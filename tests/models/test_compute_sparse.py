"""MLPs of truly sparse layers."""

import pytest
import torch
from torch import nn

from cl_sparse.layers import KWinners, Winners, rezero_weights
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.models import MultiHead, SimpleMLP, SingleHead, activation_layers
from cl_sparse.synapses import density


@pytest.mark.parametrize("percent_on", [0.1, 1.0])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_it_trains(percent_on: float, dropout: float) -> None:
    torch.manual_seed(0)
    model = SimpleMLP(
        (4, 4),
        lambda n: MultiHead(n, 2, 3),
        hidden_units=60,
        hidden_layers=2,
        sparsify=True,
        percent_on_fc=percent_on,
        weight_sparsity_fc=0.2,
        dropout=dropout,
        weights="sparse",
    )
    assert list(activation_layers(model)) == ["features.act1", "features.act2"]
    seen = []
    for module in model.modules():
        if isinstance(module, KWinners):
            module.register_forward_hook(lambda _, __, out: seen.append(out))
    assert density(model)["features.fc2"] == 0.2
    assert "computes=sparse" in repr(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    x, y, tasks = torch.randn(64, 4, 4), torch.randint(3, (64,)), torch.randint(2, (64,))
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x, tasks), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert all(isinstance(out, Winners) for out in seen)
    model.eval()
    assert model(x, tasks).shape == (64, 3)
    assert len(seen) == (82 if percent_on < 1 else 0)
    if percent_on < 1:
        assert all(isinstance(linear, SparseLinear) for linear in model.classifier.heads)


def _losses(model: nn.Module, steps: int) -> list[float]:
    """Train with momentum and weight decay; masked weights are kept at zero."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    losses = []
    for _ in range(steps):
        x, y = torch.randn(32, 16, generator=generator).double(), torch.randint(3, (32,), generator=generator)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        torch.autograd.backward(loss)
        optimizer.step()
        rezero_weights(model)
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_its_loss_curve_is_that_of_masks_over_dense_weights(hidden_layers: int) -> None:
    torch.manual_seed(0)
    masked, sparse = (
        SimpleMLP(
            (16,),
            lambda n: SingleHead(n, 3),
            hidden_units=60,
            hidden_layers=hidden_layers,
            sparsify=True,
            percent_on_fc=0.1,
            weight_sparsity_fc=0.25,
            dropout=0.0,
            weights=weights,
            compute="reference",
        ).double()
        for weights in ("masked", "sparse")
    )
    sparse.load_state_dict(masked.state_dict())
    assert torch.tensor(_losses(sparse, 60)).allclose(torch.tensor(_losses(masked, 60)), rtol=1e-9, atol=0)


def test_a_dense_net_has_no_sparse_weights() -> None:
    with pytest.raises(ValueError, match="choose masked"):
        SimpleMLP((4,), lambda n: MultiHead(n, 2, 3), weights="sparse")

"""Number by number against nupic.torch, wherever that can be imported."""

from typing import Any

import pytest
import torch
from torch import nn

from cl_sparse import layers

nupic = pytest.importorskip("nupic.torch.modules")


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("KWinners", {"n": 60, "percent_on": 0.1}, (9, 60)),
        ("KWinners", {"n": 60, "percent_on": 0.4, "relu": True}, (9, 60)),
        ("KWinners2d", {"channels": 6, "percent_on": 0.2, "local": True}, (9, 6, 4, 4)),
        ("KWinners2d", {"channels": 6, "percent_on": 0.2, "local": False}, (9, 6, 4, 4)),
    ],
)
def test_kwinners(name: str, arguments: dict[str, Any], shape: tuple[int, ...], ours_first: bool) -> None:
    ours, theirs = getattr(layers, name)(**arguments), getattr(nupic, name)(**arguments)
    for seed in range(5):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(ours(x.clone()), theirs(x.clone()))
        torch.testing.assert_close(ours.duty_cycle, theirs.duty_cycle)
    assert (ours.n, ours.k, ours.k_inference) == (theirs.n, theirs.k, theirs.k_inference)
    assert float(ours.entropy()) == pytest.approx(float(theirs.entropy()), rel=1e-5)
    assert ours.max_entropy() == pytest.approx(float(theirs.max_entropy()))
    source, target = (ours, theirs) if ours_first else (theirs, ours)
    source.update_boost_strength()
    target.load_state_dict(source.state_dict())
    x = torch.randn(shape)
    torch.testing.assert_close(ours.eval()(x.clone()), theirs.eval()(x.clone()))


@pytest.mark.parametrize("ours_first", [True, False])
def test_sparse_weights(ours_first: bool) -> None:
    for name, wrapped, shape in (
        ("SparseWeights", lambda: nn.Linear(20, 4), (3, 20)),
        ("SparseWeights2d", lambda: nn.Conv2d(2, 4, 3), (3, 2, 5, 5)),
    ):
        ours = getattr(layers, name)(wrapped(), sparsity=0.7)
        theirs = getattr(nupic, name)(wrapped(), sparsity=0.7)
        source, target = (ours, theirs) if ours_first else (theirs, ours)
        target.load_state_dict(source.state_dict())
        with torch.no_grad():
            for layer in (ours, theirs):
                layer.module.weight.add_(1.0)
                layer.rezero_weights()
        x = torch.randn(shape)
        torch.testing.assert_close(ours(x), theirs(x))

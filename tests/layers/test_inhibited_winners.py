"""Winners by inhibition, against the rule written out for one sample and one unit at a time."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from cl_sparse.layers.inhibited_winners import InhibitedWinners


def written_out(x: torch.Tensor, k: int, s: torch.Tensor) -> torch.Tensor:
    out = torch.zeros_like(x)
    for b, row in enumerate(x.clamp(min=0)):
        strongest_loser = sorted(row.tolist(), reverse=True)[k]
        for unit, value in enumerate(row.tolist()):
            out[b, unit] = max(0.0, value - float(s[unit]) * strongest_loser)
    return out


@given(st.integers(0, 2**20), st.integers(2, 12), st.floats(0, 0.9))
def test_it_is_the_rule(seed: int, n: int, percent_on: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = InhibitedWinners(n, percent_on, switch=50.0)
    layer.active = 60 * torch.rand(n, generator=generator)
    before = layer.active.clone()
    assume(layer.k < n)
    x = torch.randn(5, n, generator=generator)
    s = (2 * before / 50 - 1).clamp(-1, 1)
    out = layer(x)
    torch.testing.assert_close(out, written_out(x, layer.k, s))
    assert torch.equal(layer.active, before + (out > 0).sum(0))
    layer.eval()
    torch.testing.assert_close(layer(x), written_out(x, layer.k, (2 * layer.active / 50 - 1).clamp(-1, 1)))


def test_at_first_all_are_active_and_at_last_k_are() -> None:
    torch.manual_seed(0)
    layer = InhibitedWinners(40, 0.1, switch=100.0)
    x = torch.rand(20, 40) + 0.1
    assert bool((layer(x) > 0).all())
    for _ in range(10):
        layer(x)
    assert torch.equal((layer(x) > 0).sum(1), torch.full((20,), 4))


def test_no_gradient_goes_through_the_inhibition() -> None:
    layer = InhibitedWinners(4, 0.25, switch=1.0)
    layer.active += 1
    x = torch.tensor([[3.0, 1.0, 2.0, -1.0]], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="switch must be above 0"):
        InhibitedWinners(4, 0.5, switch=0)
    layer = InhibitedWinners(4, 0.5)
    with pytest.raises(ValueError, match=r"must be of shape \(B, 4\)"):
        layer(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="no unit can be excluded"):
        layer(torch.zeros(2, 4), torch.zeros(4, dtype=torch.bool))

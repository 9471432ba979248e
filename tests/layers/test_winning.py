"""Who wins, with ties, boosting and excluded units: both compact families, and masks, against a loop over samples."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cl_sparse.layers import (
    CompactKWinners,
    KWinners,
    SparseLinear,
    SparseWinnerLinear,
    WinnerLinear,
    Winners,
    kwinners,
)

INPUTS = 7


def reference(z: Tensor, duty: Tensor, k: int, boost: float, break_ties: bool, excluded: Tensor | None) -> Tensor:
    """Return the mask of the winners, one sample after the other; of ties that are broken the lowest index wins."""
    on = torch.zeros_like(z, dtype=torch.bool)
    for sample, ranks in enumerate((z * torch.exp(-boost * duty)).tolist()):
        out = [False] * len(ranks) if excluded is None else excluded.expand_as(z)[sample].tolist()
        able = sorted((unit for unit in range(len(ranks)) if not out[unit]), key=lambda unit: -ranks[unit])
        least = ranks[able[k - 1]] if 0 < k <= len(able) else -torch.inf
        winning = able[:k] if break_ties or not k else [unit for unit in able if ranks[unit] >= least]
        on[sample, winning] = True
    return on


def dense_weights(weight: Tensor, bias: Tensor, compact: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    del compact
    linear = nn.Linear(INPUTS, len(weight)).double()
    linear.load_state_dict({"weight": weight, "bias": bias})
    layer = WinnerLinear.of(linear)
    return layer, lambda: layer.stored_weight().grad


def live_weights(weight: Tensor, bias: Tensor, compact: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    layer = SparseWinnerLinear(INPUTS, len(weight), density=1.0, inputs="winners" if compact else "any").double()
    layer.load_state_dict({"weight": weight, "bias": bias})

    def gradient() -> Tensor:
        dense = torch.zeros_like(weight)
        dense[tuple(layer.indices)] = layer.values.grad
        return dense

    return layer, gradient


@pytest.mark.parametrize("family", [dense_weights, live_weights])
@pytest.mark.parametrize("masked", ["nobody", "units", "of each sample"])
@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 60),
    share=st.floats(0, 1),
    batch=st.integers(1, 5),
    levels=st.sampled_from([0, 1, 3, 10**6]),
    compact=st.booleans(),
    break_ties=st.booleans(),
    boost=st.sampled_from([0.0, 1.5]),
    out=st.sampled_from([0.1, 0.9, 1.0]),
    seed=st.integers(0, 99),
)
def test_winners_gradients_and_duty_cycles(
    family: Callable[..., Any],
    masked: str,
    n: int,
    share: float,
    batch: int,
    levels: int,
    compact: bool,
    break_ties: bool,
    boost: float,
    out: float,
    seed: int,
) -> None:
    """Whole numbers are added exactly in any order: few ``levels`` make many ties."""
    torch.manual_seed(seed)
    weight, bias = (torch.randint(-levels, levels + 1, size).double() for size in ((n, INPUTS), (n,)))
    listed = Winners(torch.tensor([[1, 4, -1]]).repeat(batch, 1), torch.randint(-2, 3, (batch, 3)).double(), INPUTS)
    listed.values[:, 2] = 0
    x: Any = listed if compact else torch.randint(-2, 3, (batch, INPUTS)).double()
    excluded = None if masked == "nobody" else torch.rand((n,) if masked == "units" else (batch, n)) < out
    layer, gradient = family(weight, bias, compact)
    act = CompactKWinners(n, share, boost_strength=boost, break_ties=break_ties).double()
    act.duty_cycle.copy_(torch.rand(n).mul(4).round() / 4)
    act.learning_iterations = 10**6

    z = ((listed.dense() if compact else x) @ weight.t() + bias).requires_grad_()
    on = reference(z.detach(), act.duty_cycle, act.k, boost, break_ties, excluded)
    expected = torch.where(on, z, 0)
    masks = kwinners(z, act.duty_cycle, act.k, boost, break_ties, excluded=excluded)
    if not break_ties:
        assert masks.equal(expected)
    duty = act.duty_cycle + ((expected > 0).double().mean(0) - act.duty_cycle) * batch / act.duty_cycle_period

    winners = act(layer(x), excluded)
    assert isinstance(winners, Winners)
    assert winners.dense().equal(expected)
    torch.testing.assert_close(act.duty_cycle, duty)
    upstream = torch.randint(1, 4, (batch, n)).double()
    (winners.dense() * upstream).sum().backward()
    of_z = torch.where(on, upstream, 0)
    dense_x = listed.dense() if compact else x
    assert layer.bias is not None
    assert layer.bias.grad.equal(of_z.sum(0))
    assert gradient().equal(of_z.t() @ dense_x)


@given(n=st.integers(1, 30), share=st.floats(0, 1), seed=st.integers(0, 99), relu=st.booleans(), inplace=st.booleans())
def test_masks_give_excluded_units_no_value_no_gradient_and_no_duty(
    n: int, share: float, seed: int, relu: bool, inplace: bool
) -> None:
    torch.manual_seed(seed)
    x, excluded = torch.randn(4, n, requires_grad=True), torch.rand(4, n) < 0.5
    act = KWinners(n, share, relu=relu, inplace=inplace, break_ties=seed % 2 == 0)
    y = act(x * 1, excluded)
    y.sum().backward()
    assert (y[excluded] == 0).all()
    assert (x.grad[excluded] == 0).all()
    able = (~excluded).sum(1).clamp(max=act.k)
    wins = reference(x.detach(), torch.zeros(n), act.k, 0.0, True, excluded)
    assert wins.sum(1).equal(able)
    assert y.detach().equal(torch.where(wins, x.detach().relu() if relu else x.detach(), 0))
    torch.testing.assert_close(act.duty_cycle, (y > 0).float().mean(0))


@pytest.mark.parametrize("family", [dense_weights, live_weights])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("break_ties", [False, True])
def test_what_is_not_finite_stays_visible(family: Callable[..., Any], bad: float, break_ties: bool) -> None:
    weight, bias = torch.randn(30, INPUTS).double(), torch.randn(30).double()
    bias[17] = bad
    layer, _ = family(weight, bias, False)
    act = CompactKWinners(30, 0.1, break_ties=break_ties).double()
    assert not act(layer(torch.randn(3, INPUTS).double())).dense().isfinite().all(1).any()


def test_wide_layers_find_ties_while_they_stream() -> None:
    """More units than are written down at once; some of the ties fall out of the list of candidates on the way."""
    n, k = 200_000, 5
    layer = SparseWinnerLinear(INPUTS, n, fan_in=1)
    with torch.no_grad():
        layer.values.zero_()
        layer.bias.copy_(torch.arange(n) % 1000)
        layer.bias[:3] = 2000
    x = torch.zeros(8, INPUTS)
    act = CompactKWinners(n, k / n, boost_strength=0.0)
    assert (act(layer(x)).dense() != 0).sum(1).tolist() == [3 + n // 1000] * 8
    act.break_ties = True
    assert act(layer(x)).indices.sort(1).values.tolist() == [[0, 1, 2, 999, 1999]] * 8
    layer.bias.data[5:9] = torch.tensor([3000, 3001, 3002, 3003])
    act.break_ties = False
    assert act(layer(x)).indices.shape == (8, 7), "three tie"
    layer.bias.data[0] = 2001
    assert act(layer(x)).indices.shape == (8, 5), "what ties does not win"
    assert isinstance(SparseLinear.forward(layer, x), Tensor)

"""Sparse weights: exact counts, masks that hold through optimizer steps, validation."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cl_sparse.layers import (
    SparseLinear,
    SparseWeights,
    SparseWeights2d,
    SparseWeightsBase,
    normalize_sparse_weights,
    rezero_weights,
)


def non_zeros(layer: SparseWeightsBase) -> list[int]:
    return (layer.weight != 0).flatten(1).sum(1).tolist()


@settings(deadline=None, max_examples=50)
@given(n_in=st.integers(1, 60), n_out=st.integers(1, 6), share=st.floats(0, 1))
def test_counts_of_a_linear_layer(n_in: int, n_out: int, share: float) -> None:
    by_zeros = SparseWeights(nn.Linear(n_in, n_out), sparsity=share, allow_extremes=True)
    assert non_zeros(by_zeros) == [round((1 - share) * n_in)] * n_out
    by_non_zeros = SparseWeights(nn.Linear(n_in, n_out), weight_sparsity=share, allow_extremes=True)
    assert non_zeros(by_non_zeros) == [round(share * n_in)] * n_out
    assert (by_zeros.zero_mask.flatten(1).sum(1) == n_in - round((1 - share) * n_in)).all()


@pytest.mark.parametrize(("groups", "fan_in"), [(1, 36), (2, 18)])
@pytest.mark.parametrize("density", [0.1, 0.35, 0.9])
def test_counts_of_a_convolution(groups: int, fan_in: int, density: float) -> None:
    layer = SparseWeights2d(nn.Conv2d(4, 6, 3, groups=groups), density)
    assert non_zeros(layer) == [round(density * fan_in)] * 6
    assert layer.zero_mask.shape == layer.weight.shape
    assert layer(torch.randn(2, 4, 5, 5)).shape == (2, 6, 3, 3)


def test_masks_differ_between_units_and_follow_the_seed() -> None:
    torch.manual_seed(3)
    first = SparseWeights(nn.Linear(50, 20), 0.2)
    torch.manual_seed(3)
    second = SparseWeights(nn.Linear(50, 20), 0.2)
    assert torch.equal(first.zero_mask, second.zero_mask)
    assert len({tuple(row.tolist()) for row in first.zero_mask}) > 10
    # Every input is as likely as any other.
    torch.manual_seed(0)
    use = SparseWeights(nn.Linear(20, 5000), 0.2).live_mask().float().mean(0)
    assert (use - 0.2).abs().max() < 0.03


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
        lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    ],
    ids=["sgd", "adam"],
)
def test_rezero_holds_the_mask(optimizer: Callable[[Any], torch.optim.Optimizer]) -> None:
    torch.manual_seed(0)
    conv, linear = SparseWeights2d(nn.Conv2d(1, 4, 3), 0.3), SparseWeights(nn.Linear(4 * 36, 5), 0.1)
    model = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Sequential(linear))
    steps = optimizer(model.parameters())
    live = [layer.live_mask() for layer in (conv, linear)]
    before = [layer.weight.detach().clone() for layer in (conv, linear)]
    for _ in range(3):
        steps.zero_grad()
        model(torch.randn(6, 1, 8, 8)).square().sum().backward()
        steps.step()
        assert any((layer.weight[~alive] != 0).any() for layer, alive in zip((conv, linear), live, strict=True))
        rezero_weights(model)
        for layer, alive in zip((conv, linear), live, strict=True):
            assert (layer.weight[~alive] == 0).all()
            assert torch.equal(layer.live_mask(), alive)
    for layer, alive, old in zip((conv, linear), live, before, strict=True):
        assert (layer.weight[alive] != old[alive]).all()


def test_sparsity_follows_the_mask() -> None:
    layer = SparseWeights(nn.Linear(10, 4), weight_sparsity=0.3)
    assert layer.sparsity == 0.7
    assert "sparsity=0.7" in repr(layer)
    layer.zero_mask[0] = True
    assert layer.sparsity == 31 / 40
    assert "sparsity=0.775" in repr(layer)
    layer.load_state_dict({**layer.state_dict(), "zero_mask": torch.zeros(4, 10, dtype=torch.float16)}, assign=True)
    assert layer.sparsity == 0.0
    assert SparseWeights(nn.Linear(10, 4), sparsity=0.71).sparsity == 0.7
    assert SparseLinear(10, 4, fan_in=3).to_masked().sparsity == 0.7


def test_rezero_through_apply_as_in_nupic() -> None:
    model = nn.Sequential(nn.Sequential(SparseWeights(nn.Linear(10, 3), 0.2)))
    layer = model[0][0]
    with torch.no_grad():
        layer.weight.fill_(1.0)
    model.apply(rezero_weights)
    assert non_zeros(layer) == [2, 2, 2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_types(dtype: torch.dtype) -> None:
    layer = SparseWeights(nn.Linear(20, 4), 0.25).to(dtype)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    rezero_weights(layer)
    assert layer.zero_mask.dtype == torch.bool
    assert non_zeros(layer) == [5] * 4


def test_normalize_scales_by_live_inputs() -> None:
    torch.manual_seed(0)
    layer = SparseWeights(nn.Linear(1000, 40), 0.01)
    normalize_sparse_weights(nn.Sequential(layer))
    assert non_zeros(layer) == [10] * 40
    bound = 1 / math.sqrt(10)
    assert 0.9 * bound < layer.weight.abs().max() <= bound
    assert layer.bias is not None
    assert 0.5 * bound < layer.bias.abs().max() <= bound
    empty = SparseWeights(nn.Linear(5, 2, bias=False), sparsity=1.0, allow_extremes=True)
    normalize_sparse_weights(empty)
    assert non_zeros(empty) == [0, 0]
    conv = SparseWeights2d(nn.Conv2d(3, 8, 5, bias=False), 0.2)
    normalize_sparse_weights(conv)
    assert non_zeros(conv) == [15] * 8


def test_normalize_with_equal_fan_ins_draws_as_torch_does() -> None:
    for layer in (SparseWeights(nn.Linear(300, 40), 0.1), SparseWeights2d(nn.Conv2d(3, 8, 5), 0.4)):
        bound = 30**-0.5
        torch.manual_seed(1)
        weight = torch.empty_like(layer.weight).uniform_(-bound, bound) * layer.live_mask()
        bias = torch.empty(len(weight)).uniform_(-bound, bound)
        after = torch.rand(1)
        torch.manual_seed(1)
        normalize_sparse_weights(layer)
        assert layer.bias is not None
        assert torch.equal(layer.weight, weight)
        assert torch.equal(layer.bias, bias)
        assert torch.equal(torch.rand(1), after)


@pytest.mark.parametrize("live_inputs", [[400, 4, 0, 1], [0, 0, 9, 900]])
def test_normalize_looks_at_the_live_inputs_of_each_unit(live_inputs: list[int]) -> None:
    torch.manual_seed(0)
    linear = SparseWeights(nn.Linear(1000, 4), 0.5)
    conv = SparseWeights2d(nn.Conv2d(10, 4, 10), 0.5)
    for layer in (linear, conv):
        layer.zero_mask.fill_(True)
        for mask, count in zip(layer.zero_mask.flatten(1), live_inputs, strict=True):
            mask[:count] = False
        drawn = torch.zeros(2, 4)
        for _ in range(50):
            normalize_sparse_weights(layer)
            assert layer.bias is not None
            assert non_zeros(layer) == live_inputs
            drawn = torch.stack([layer.weight.detach().flatten(1).abs().amax(1), layer.bias.abs()]).maximum(drawn)
        bounds = torch.tensor([0.0 if count == 0 else count**-0.5 for count in live_inputs])
        assert (drawn <= bounds * (1 + 1e-6)).all()
        assert (drawn >= bounds * 0.8).all()


@pytest.mark.parametrize("mask_type", [torch.bool, torch.uint8, torch.float16])
@pytest.mark.parametrize("assign", [False, True])
def test_state_dict(mask_type: torch.dtype, assign: bool) -> None:
    source = SparseWeights(nn.Linear(8, 3), 0.5)
    state = source.state_dict()
    assert set(state) == {"module.weight", "module.bias", "zero_mask"}
    # nupic.torch stores its masks in half precision.
    state["zero_mask"] = state["zero_mask"].to(mask_type)
    target = SparseWeights(nn.Linear(8, 3), 0.5)
    target.load_state_dict(state, assign=assign)
    assert torch.equal(target.live_mask(), source.live_mask())
    with torch.no_grad():
        target.weight.fill_(1.0)
    rezero_weights(target)
    assert non_zeros(target) == [4] * 3


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"weight_sparsity": 0.5, "sparsity": 0.5},
        {"sparsity": 0.0},
        {"sparsity": 1.0},
        {"weight_sparsity": 1.0},
        {"weight_sparsity": 0.0},
        {"sparsity": -0.1, "allow_extremes": True},
        {"weight_sparsity": 1.1, "allow_extremes": True},
        {"sparsity": math.nan},
    ],
)
@pytest.mark.parametrize(
    "build", [lambda **a: SparseWeights(nn.Linear(4, 2), **a), lambda **a: SparseWeights2d(nn.Conv2d(1, 2, 3), **a)]
)
def test_bad_shares(build: Callable[..., SparseWeightsBase], arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sparsity"):
        build(**arguments)


def test_wrong_layer() -> None:
    with pytest.raises(TypeError, match="wraps Linear"):
        SparseWeights(nn.Conv2d(1, 2, 3), 0.5)
    with pytest.raises(TypeError, match="wraps Conv2d"):
        SparseWeights2d(nn.Linear(1, 2), 0.5)

"""Masks by magnitude and by chance: exact counts, gradients, and what becomes of the layer."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cl_sparse.layers import HebbMask, LayerMask, MagnitudeMask, RandomMask


@given(units=st.integers(1, 7), inputs=st.integers(1, 9), density=st.floats(0.001, 1), seed=st.integers(0, 2**31))
def test_counts_are_exact(units, inputs, density, seed):
    torch.manual_seed(seed)
    n = max(1, round(density * units * inputs))
    for mask in (MagnitudeMask, RandomMask):
        layer = mask(nn.Linear(inputs, units), density=density)
        assert int(layer.mask().sum()) == n
        assert layer.live_share() == pytest.approx(n / (units * inputs))
        with torch.no_grad():
            layer.module.weight.copy_(torch.randint(-2, 3, (units, inputs)))  # many are equal
        assert int(layer.mask().sum()) == n


@given(seed=st.integers(0, 2**31))
def test_the_largest_are_those_that_sorting_finds(seed):
    torch.manual_seed(seed)
    layer = MagnitudeMask(nn.Linear(6, 4), density=0.25)
    weights = sorted(enumerate(layer.module.weight.detach().abs().flatten().tolist()), key=lambda pair: -pair[1])
    largest = {place for place, _ in weights[:6]}
    assert set(layer.mask().flatten().nonzero().flatten().tolist()) == largest


@pytest.mark.parametrize("make", [lambda: nn.Linear(6, 5), lambda: nn.Conv2d(6, 5, 3, stride=2, padding=1)])
@pytest.mark.parametrize("mask", [MagnitudeMask, RandomMask])
def test_it_computes_with_the_masked_weight(mask, make):
    torch.manual_seed(0)
    plain = make()
    layer = mask(copy.deepcopy(plain), density=0.3)
    x = torch.randn(4, 6) if isinstance(plain, nn.Linear) else torch.randn(4, 6, 7, 7)
    with torch.no_grad():
        plain.weight.mul_(layer.mask())
    y = layer(x)
    assert torch.equal(y, plain(x))
    removed = layer.remove()
    assert type(removed) is type(plain)
    assert torch.equal(removed(x), y)
    assert torch.equal(layer(x), y)


def test_the_gradient_of_a_masked_weight():
    torch.manual_seed(0)
    plain, x, y = nn.Linear(8, 6), torch.randn(5, 8), torch.randn(5, 6)
    for kind in (MagnitudeMask, RandomMask):
        layer = kind(copy.deepcopy(plain), density=0.2)
        mask = layer.mask()
        out = layer(x)
        (out * y).sum().backward()
        all_weights = y.T @ x
        expected = all_weights if kind is MagnitudeMask else all_weights * mask
        torch.testing.assert_close(layer.module.weight.grad, expected)


def test_small_weights_grow_back_by_magnitude_and_a_random_choice_stays():
    torch.manual_seed(0)
    x = torch.randn(200, 10)
    y = x[:, :2] @ torch.tensor([[3.0], [-2.0]])
    for kind in (MagnitudeMask, RandomMask):
        layer = kind(nn.Linear(10, 1), density=0.2)
        with torch.no_grad():
            layer.module.weight.copy_(torch.linspace(0.1, 0.5, 10)[None])  # the two that matter are the smallest
        before = layer.mask()
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
        for _ in range(100):
            optimizer.zero_grad()
            nn.functional.mse_loss(layer(x), y).backward()
            optimizer.step()
        if kind is RandomMask:
            assert torch.equal(layer.mask(), before)
        else:
            assert layer.mask().nonzero()[:, 1].tolist() == [0, 1]


@pytest.mark.parametrize("mask", [MagnitudeMask, RandomMask, HebbMask])
def test_a_state_dict_and_a_copy_keep_the_choice(mask):
    torch.manual_seed(0)
    layer, other = mask(nn.Linear(6, 5), density=0.5), mask(nn.Linear(6, 5), density=0.5)
    with torch.no_grad():
        layer.module.weight.fill_(1.0)  # the choice is the order's
    x = torch.randn(3, 6)
    expected = layer.eval()(x)
    assert torch.equal(copy.deepcopy(layer)(x), expected)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.eval()(x), expected)


@pytest.mark.parametrize("mask", [MagnitudeMask, RandomMask])
def test_refusals(mask):
    with pytest.raises(TypeError, match=f"{mask.__name__} masks a Linear or a Conv2d, not a ReLU"):
        mask(nn.ReLU())
    with pytest.raises(ValueError, match="density must be above 0 and at most 1, not 0"):
        mask(nn.Linear(2, 2), density=0)
    with pytest.raises(ValueError, match="what can be masked is"):
        mask(nn.Linear(2, 2), ["bias"])
    assert issubclass(mask, LayerMask)

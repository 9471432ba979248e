"""k-winners against plain loops: outputs, gradients, duty cycles, winner counts."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cl_sparse.layers import KWinners, kwinners, update_boost_strength

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


def reference_mask(row: list[float], duty: list[float], k: int, boost: float, relu: bool) -> list[bool]:
    """Which units of one sample win, ties included."""
    ranks = [value * math.exp(-boost * d) for value, d in zip(row, duty, strict=True)]
    threshold = sorted(ranks, reverse=True)[k - 1] if k else math.inf
    return [rank >= threshold and (not relu or value > 0) for rank, value in zip(ranks, row, strict=True)]


def reference_out(x: Tensor, duty: Tensor, k: int, boost: float, relu: bool = False) -> tuple[Tensor, Tensor]:
    mask = torch.tensor([reference_mask(row, duty.tolist(), k, boost, relu) for row in x.tolist()]).view(x.shape)
    return torch.where(mask, x, torch.zeros_like(x)), mask


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("boost", [0.0, 1.7])
@pytest.mark.parametrize("k", [0, 1, 3, 20, 39, 40])
@pytest.mark.parametrize("tied", [False, True])
def test_output_and_gradient_equal_the_reference(device: str, tied: bool, k: int, boost: float, relu: bool) -> None:
    generator = torch.Generator().manual_seed(k)
    x = torch.randn(7, 40, dtype=torch.float64, generator=generator)
    duty = torch.rand(40, dtype=torch.float64, generator=generator)
    if tied:
        x, duty = x.round(), (2 * duty).round()
    expected, mask = reference_out(x, duty, k, boost, relu)
    x, duty, mask = x.to(device).requires_grad_(), duty.to(device), mask.to(device)
    out = kwinners(x, duty, k, boost, relu=relu)
    torch.testing.assert_close(out.cpu(), expected, rtol=0, atol=0)
    upstream = torch.randn(7, 40, dtype=torch.float64, generator=generator).to(device)
    (gradient,) = torch.autograd.grad(out, x, upstream)
    # Where the value is exactly 0, on or off gives the same output, and the gradient is either's.
    unclear = (x == 0) if relu else torch.zeros_like(mask)
    torch.testing.assert_close(gradient[~unclear], (upstream * mask)[~unclear], rtol=0, atol=0)


@pytest.mark.parametrize("break_ties", [False, True])
@pytest.mark.parametrize(("k", "relu"), [(2, False), (2, True), (15, False), (15, True), (0, False), (30, True)])
def test_gradcheck(k: int, relu: bool, break_ties: bool) -> None:
    x = torch.randn(3, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    duty = torch.linspace(0, 1, 30, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: kwinners(x, duty, k, 1.0, break_ties, relu), (x,))


@settings(deadline=None, max_examples=60)
@given(data=st.data(), n=st.integers(1, 40), batch=st.integers(1, 5), break_ties=st.booleans(), boost=st.floats(0, 3))
def test_winner_counts_and_values(data: st.DataObject, n: int, batch: int, break_ties: bool, boost: float) -> None:
    k = data.draw(st.integers(0, n))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    # Positive, so that being on shows, and coarse, so that ties are common.
    x = torch.randint(1, 6, (batch, n), generator=generator).float()
    duty = torch.randint(0, 3, (n,), generator=generator) / 4
    out = kwinners(x, duty, k, boost, break_ties)
    on = out != 0
    counts = on.sum(1)
    assert (counts == k).all() if break_ties else (counts >= k).all()
    assert torch.equal(out[on], x[on])
    rank = x * torch.exp(-boost * duty)
    for winners, ranks in zip(on, rank, strict=True):
        if 0 < k < n:
            losing = ranks[~winners].max() if (~winners).any() else -math.inf
            assert ranks[winners].min() >= losing
            assert break_ties or ranks[winners].min() > losing


@settings(deadline=None, max_examples=40)
@given(
    period=st.integers(1, 30),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    k=st.integers(0, 12),
    ties=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_duty_cycle_equals_the_formula(period: int, sizes: list[int], k: int, ties: bool, seed: int) -> None:
    layer = KWinners(12, k / 12, boost_strength=0.8, duty_cycle_period=period, break_ties=ties).double()
    generator = torch.Generator().manual_seed(seed)
    duty, seen = [0.0] * 12, 0
    for size in sizes:
        out = layer(torch.randn(size, 12, dtype=torch.float64, generator=generator))
        seen += size
        now = min(period, seen)
        for unit in range(12):
            count = sum(1 for sample in range(size) if out[sample, unit] > 0)
            if size > now:  # a batch larger than the period counts as one period
                duty[unit] = count / size
            else:
                duty[unit] = (duty[unit] * (now - size) + count) / now
        assert layer.duty_cycle.tolist() == pytest.approx(duty, abs=1e-12)
        assert layer.duty_cycle.min() >= 0
    assert layer.learning_iterations == seen


@pytest.mark.parametrize("break_ties", [False, True])
def test_counting_winners_equals_counting_outputs(break_ties: bool) -> None:
    few = KWinners(100, 0.02, break_ties=break_ties, duty_cycle_period=50)
    dense = KWinners(100, 0.02, break_ties=break_ties, duty_cycle_period=50)
    for seed in range(4):
        x = torch.randn(16, 100, generator=torch.Generator().manual_seed(seed)) - 2  # some winners are negative
        dense.update_duty_cycle(few(x))
        torch.testing.assert_close(few.duty_cycle, dense.duty_cycle)
    assert few.duty_cycle.sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("break_ties", [False, True])
def test_types(dtype: torch.dtype, break_ties: bool) -> None:
    layer = KWinners(50, 0.1, break_ties=break_ties).to(dtype)
    x = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    out = layer(x)
    out.sum().backward()
    assert out.dtype == dtype
    assert x.grad is not None
    assert torch.equal(x.grad != 0, out != 0)
    assert ((out != 0).sum(1) >= 5).all()
    # Steps of 1/1000 vanish in half precision, hence:
    assert layer.duty_cycle.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert 0 < layer.duty_cycle.sum() <= 50


@pytest.mark.parametrize("percent_on", [0.05, 0.5])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("break_ties", [False, True])
def test_inplace_gives_the_same(percent_on: float, relu: bool, break_ties: bool) -> None:
    x = torch.randn(6, 40, generator=torch.Generator().manual_seed(1), requires_grad=True)
    results = []
    for inplace in (False, True):
        layer = KWinners(40, percent_on, break_ties=break_ties, relu=relu, inplace=inplace)
        out = layer(x * 1.0)
        (gradient,) = torch.autograd.grad(out.square().sum(), x)
        results.append((out.detach(), gradient, layer.duty_cycle))
    for plain, written in zip(*results, strict=True):
        assert torch.equal(plain, written)


def test_evaluation_uses_the_inference_count_and_learns_nothing() -> None:
    layer = KWinners(40, 0.1, k_inference_factor=1.5)
    layer(torch.randn(8, 40))
    before, seen = layer.duty_cycle.clone(), layer.learning_iterations
    out = layer.eval()(torch.randn(8, 40))
    assert ((out != 0).sum(1) == 6).all()
    assert torch.equal(layer.duty_cycle, before)
    assert layer.learning_iterations == seen


@pytest.mark.parametrize("x", [torch.randn(5, 30), torch.randn(5, 30).round()], ids=["distinct", "tied"])
def test_evaluation_of_a_sample_does_not_depend_on_its_batch(x: Tensor) -> None:
    layer = KWinners(30, 0.07)
    layer(torch.randn(8, 30))
    layer.eval()
    assert torch.equal(layer(x), torch.cat([layer(sample[None]) for sample in x]))


def test_counts_are_clamped_to_the_units() -> None:
    layer = KWinners(10, 0.9, k_inference_factor=1.5).eval()
    assert layer.k_inference == 10
    x = torch.randn(3, 10)
    assert torch.equal(layer(x), x)


def test_boosting_favours_rarely_used_units() -> None:
    layer = KWinners(2, 0.5, boost_strength=2.0)
    layer.duty_cycle.copy_(torch.tensor([1.0, 0.0]))
    assert layer.eval()(torch.tensor([[2.0, 1.0]])).tolist() == [[0.0, 1.0]]
    # A state dict that switches boosting off is obeyed at once: nothing is cached.
    layer.load_state_dict({"boost_strength": torch.tensor(0.0), "duty_cycle": layer.duty_cycle})
    assert layer(torch.tensor([[2.0, 1.0]])).tolist() == [[2.0, 0.0]]


def test_boost_strength_decays_once_per_call() -> None:
    model = torch.nn.Sequential(torch.nn.Sequential(KWinners(4, 0.5, boost_strength=1.0, boost_strength_factor=0.5)))
    update_boost_strength(model)
    update_boost_strength(model)
    assert model[0][0].boost_strength.item() == 0.25


def test_state_dict() -> None:
    layer = KWinners(6, 0.5)
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "boost_strength": (),
        "duty_cycle": (6,),
    }


def test_entropy() -> None:
    layer = KWinners(8, 0.25)
    assert layer.entropy() == 0
    layer.duty_cycle.fill_(0.25)
    assert layer.entropy().item() == pytest.approx(layer.max_entropy(), rel=1e-6)
    assert layer.max_entropy() == pytest.approx(8 * (0.25 * 2 + 0.75 * math.log2(4 / 3)))
    assert KWinners(8, 1.0).max_entropy() == 0
    # Of 4 · .4 = 1.6 units 2 win, and nupic.torch counts 1.
    assert KWinners(4, 0.4).max_entropy() == pytest.approx(4 * (0.25 * 2 + 0.75 * math.log2(4 / 3)))


def test_nan_is_not_hidden() -> None:
    x = torch.randn(2, 100)
    x[0, 3] = math.nan
    assert KWinners(100, 0.02)(x)[0].isnan().any()


def test_empty_batch() -> None:
    layer = KWinners(10, 0.2)
    assert layer(torch.empty(0, 10)).shape == (0, 10)
    assert not layer.duty_cycle.isnan().any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"percent_on": 1.1},
        {"percent_on": -0.1},
        {"percent_on": 0.1, "boost_strength": -1.0},
        {"percent_on": 0.1, "k_inference_factor": -1.0},
        {"percent_on": 0.1, "boost_strength_factor": float("nan")},
        {"percent_on": 0.1, "duty_cycle_period": 0},
    ],
)
def test_bad_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        KWinners(10, **wrong)


def test_bad_shape() -> None:
    with pytest.raises(ValueError, match=r"\(B, 10\)"):
        KWinners(10, 0.1)(torch.randn(3, 9))

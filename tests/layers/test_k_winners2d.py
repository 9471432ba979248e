"""k-winners of feature maps against plain loops."""

import math

import pytest
import torch
from torch import Tensor

from cl_sparse.layers import KWinners2d, kwinners2d

B, C, H, W = 3, 8, 4, 5


def reference(x: Tensor, duty: Tensor, k: int, boost: float, local: bool) -> Tensor:
    """Boolean map of the winners, by loops over samples and locations."""
    rank = [
        [
            [[x[b, c, i, j].item() * math.exp(-boost * duty[0, c, 0, 0].item()) for j in range(W)] for i in range(H)]
            for c in range(C)
        ]
        for b in range(B)
    ]
    mask = torch.zeros(B, C, H, W, dtype=torch.bool)
    for b in range(B):
        groups = (
            [[(c, i, j) for c in range(C)] for i in range(H) for j in range(W)]
            if local
            else [[(c, i, j) for c in range(C) for i in range(H) for j in range(W)]]
        )
        for group in groups:
            values = sorted((rank[b][c][i][j] for c, i, j in group), reverse=True)
            for c, i, j in group:
                mask[b, c, i, j] = k > 0 and rank[b][c][i][j] >= values[k - 1]
    return mask


@pytest.mark.parametrize("boost", [0.0, 1.3])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("local", "k"), [(True, 0), (True, 1), (True, 3), (True, 8), (False, 2), (False, 50)])
def test_output_and_gradient_equal_the_reference(local: bool, k: int, tied: bool, boost: float) -> None:
    generator = torch.Generator().manual_seed(k)
    x = torch.randn(B, C, H, W, dtype=torch.float64, generator=generator)
    duty = torch.rand(1, C, 1, 1, dtype=torch.float64, generator=generator)
    if tied:
        x = x.round()
    mask = reference(x, duty, k, boost, local)
    x.requires_grad_()
    out = kwinners2d(x, duty, k, boost, local)
    torch.testing.assert_close(out, torch.where(mask, x, torch.zeros_like(x)), rtol=0, atol=0)
    upstream = torch.randn(B, C, H, W, dtype=torch.float64, generator=generator)
    (gradient,) = torch.autograd.grad(out, x, upstream)
    torch.testing.assert_close(gradient, upstream * mask, rtol=0, atol=0)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("break_ties", [True, False])
def test_winner_counts(local: bool, break_ties: bool) -> None:
    x = torch.randint(1, 5, (B, C, H, W), generator=torch.Generator().manual_seed(0)).float()
    layer = KWinners2d(C, 0.25, local=local, break_ties=break_ties)
    counts = (layer(x) != 0).sum(1 if local else (1, 2, 3))
    k = 2 if local else 40
    assert layer.k == k
    assert (counts == k).all() if break_ties else (counts >= k).all()
    layer.eval()
    counts = (layer(x) != 0).sum(1 if local else (1, 2, 3))
    assert layer.k_inference == 1.5 * k
    assert (counts == 1.5 * k).all() if break_ties else (counts >= 1.5 * k).all()


@pytest.mark.parametrize("local", [True, False])
def test_duty_cycle_over_batches(local: bool) -> None:
    layer = KWinners2d(C, 0.3, local=local, duty_cycle_period=7).double()
    duty, seen = [0.0] * C, 0
    for seed, size in enumerate((2, 3, 1, 5, 7, 9)):
        generator = torch.Generator().manual_seed(seed)
        out = layer(torch.randn(size, C, H, W, dtype=torch.float64, generator=generator))
        seen += size
        period = min(7, seen)
        for c in range(C):
            count = sum(1 for b in range(size) for i in range(H) for j in range(W) if out[b, c, i, j] > 0) / (H * W)
            duty[c] = count / size if size > period else (duty[c] * (period - size) + count) / period
        assert layer.duty_cycle.flatten().tolist() == pytest.approx(duty, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("local", [True, False])
def test_types_and_memory_formats(dtype: torch.dtype, memory_format: torch.memory_format, local: bool) -> None:
    x = torch.randn(B, C, H, W, generator=torch.Generator().manual_seed(0)).to(dtype)
    plain = KWinners2d(C, 0.25, local=local).to(dtype)
    other = KWinners2d(C, 0.25, local=local).to(dtype)
    assert torch.equal(plain(x), other(x.to(memory_format=memory_format)))
    torch.testing.assert_close(plain.duty_cycle, other.duty_cycle)
    assert plain(x).dtype == dtype


@pytest.mark.parametrize("local", [True, False])
def test_evaluation_of_a_sample_does_not_depend_on_its_batch(local: bool) -> None:
    x = torch.randn(B, C, H, W).relu()
    layer = KWinners2d(C, 0.25, local=local)
    layer(x)
    layer.eval()
    assert torch.equal(layer(x), torch.cat([layer(sample[None]) for sample in x]))


def test_inplace_gives_the_same() -> None:
    x = torch.randn(B, C, H, W)
    for local in (True, False):
        plain = KWinners2d(C, 0.25, local=local, relu=True)(x)
        assert torch.equal(plain, KWinners2d(C, 0.25, local=local, relu=True, inplace=True)(x.clone()))


@pytest.mark.parametrize("local", [True, False])
def test_entropy(local: bool) -> None:
    layer = KWinners2d(C, 0.25, local=local)
    assert (layer.n, layer.k, layer.k_inference) == ((0, 2, 3) if local else (0, 0, 0))
    assert (layer.entropy(), layer.max_entropy()) == (0, 0)
    layer(torch.randn(B, C, H, W))
    layer.duty_cycle.fill_(0.25)
    assert (layer.n, layer.k, layer.k_inference) == (C * H * W, *((2, 3) if local else (40, 60)))
    assert layer.max_entropy() == pytest.approx(C * H * W * (0.25 * 2 + 0.75 * math.log2(4 / 3)))
    assert layer.entropy().item() == pytest.approx(layer.max_entropy(), rel=1e-6)


def test_local_counts_are_clamped_to_the_channels() -> None:
    layer = KWinners2d(C, 0.9, k_inference_factor=1.5, local=True).eval()
    x = torch.randn(B, C, H, W)
    assert torch.equal(layer(x), x)
    assert layer.k_inference == C


@pytest.mark.parametrize("local", [True, False])
def test_an_empty_batch(local: bool) -> None:
    layer = KWinners2d(C, 0.25, local=local)
    assert layer(torch.empty(0, C, H, W)).shape == (0, C, H, W)
    assert layer.n == C * H * W
    assert layer.duty_cycle.isfinite().all()


def test_other_image_sizes_are_counted_anew() -> None:
    layer = KWinners2d(C, 0.25, break_ties=True)
    for side in (4, 6):
        x = torch.randn(2, C, side, side)
        assert ((layer(x) != 0).sum((1, 2, 3)) == C * side * side // 4).all()


def test_state_dict_and_bad_shape() -> None:
    layer = KWinners2d(C)
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "boost_strength": (),
        "duty_cycle": (1, C, 1, 1),
    }
    with pytest.raises(ValueError, match=r"\(B, 8, H, W\)"):
        layer(torch.randn(2, 3, 4, 4))

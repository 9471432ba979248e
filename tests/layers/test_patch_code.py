"""Patch codes against a slow loop over places, and what is promised of mirror images, types and memory."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cl_sparse.kernels.local_winners import sum_winners
from cl_sparse.layers.patch_code import PatchCode
from cl_sparse.layers.patch_filters import PatchFilters


def fitted(**settings_: object) -> PatchCode:
    torch.manual_seed(0)
    code = PatchCode((3, 10, 9), **({"filters": 12, "sizes": [4], "winners": 0.3} | settings_))
    code.fit(images(60), torch.Generator().manual_seed(0))
    return code


def images(n: int) -> Tensor:
    return torch.rand(n, 3, 10, 9, generator=torch.Generator().manual_seed(n)).cumsum(2).cumsum(3) / 20


def gaussian(place: float, centre: float) -> float:
    return math.exp(-0.5 * ((place - centre) / 0.22) ** 2)


def slow(code: PatchCode, image: Tensor, filters: PatchFilters) -> Tensor:
    """Return one image's code, place by place."""
    weight, size, grid = filters.weight.double(), filters.size, code.grid
    rows, columns = image.shape[1] - size + 1, image.shape[2] - size + 1
    sums = torch.zeros(grid, grid, len(weight), dtype=torch.float64)
    weights = torch.zeros(grid, grid, 1, dtype=torch.float64)
    for r in range(rows):
        for c in range(columns):
            patch = image[:, r : r + size, c : c + size].double().flatten()
            patch = (patch - patch.mean()) / math.sqrt(patch.var(unbiased=False) + float(filters.contrast))
            white = (patch - filters.mean.double()) @ filters.whitening.double()
            if code.code == "winners":
                responses = weight @ white
                out = (responses - responses.sort(descending=True).values[code.k]).clamp(min=0)
            else:
                distances = (weight - white).norm(dim=1)
                out = (distances.mean() - distances).clamp(min=0)
            for down, across in product(range(grid), repeat=2):
                share = gaussian((r + 0.5) / rows, (down + 0.5) / grid) * gaussian(
                    (c + 0.5) / columns, (across + 0.5) / grid
                )
                sums[down, across] += share * out
                weights[down, across] += share
    pooled = sums / weights
    if code.mirror:
        ours, theirs = pooled.chunk(2, dim=2)
        pooled = ours + theirs.flip(1)
    return pooled.sqrt().flatten()


@pytest.mark.parametrize("cpu", ["that multiplies bfloat16", "that does not"])
@pytest.mark.parametrize("kind", ["winners", "triangle"])
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize(("sizes", "winners"), [([4], 0.3), ([3, 5], 0.75)])
def test_a_code_is_that_of_a_slow_loop_over_places(
    monkeypatch: pytest.MonkeyPatch, cpu: str, kind: str, mirror: bool, sizes: list[int], winners: float
) -> None:
    monkeypatch.setattr("cl_sparse.layers.patch_code._multiplies_bfloat16", lambda: cpu == "that multiplies bfloat16")
    code = fitted(code=kind, mirror=mirror, sizes=sizes, winners=winners)
    x = images(3)
    expected = torch.stack([torch.cat([slow(code, image, f) for f in code.filters]) for image in x])
    assert code(x).shape == (3, code.width)
    exact = code.double()(x.double())
    torch.testing.assert_close(exact, expected, rtol=1e-5, atol=1e-6)
    # bfloat16 on the way: a hundredth of what the codes are like
    assert float((code.float()(x) - expected).abs().mean()) < 0.02 * float(expected.mean())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("kind", ["winners", "triangle"])
def test_a_code_on_cuda_is_that_of_the_cpu(kind: str) -> None:
    code = fitted(code=kind).double()
    x = images(5).double()
    torch.testing.assert_close(code.cuda()(x.cuda()).cpu(), code.cpu()(x), rtol=1e-5, atol=1e-6)
    code, x = code.float(), x.float()
    on_cpu = code.cpu()(x)
    assert float((code.cuda()(x.cuda()).cpu() - on_cpu).abs().mean()) < 0.02 * float(on_cpu.mean())


def test_flat_images_have_a_code_of_zeros() -> None:
    code = PatchCode((1, 6, 6), filters=4, sizes=[3], winners=0.5, mirror=False)
    code.fit(torch.full((20, 1, 6, 6), 0.3), torch.Generator().manual_seed(0))
    assert not code(torch.full((2, 1, 6, 6), 0.3)).any()
    with pytest.raises(ValueError, match="no contrast"):
        PatchCode((1, 6, 6), filters=4, sizes=[1], winners=0.5)


def test_mirror_images_have_the_same_code() -> None:
    code = fitted().double()
    x = images(4).double()
    torch.testing.assert_close(code(x).square(), code(x.flip(3)).square(), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(code(x), code(x.flip(2)))


def test_samples_do_not_depend_on_their_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    code = fitted()
    x = images(7)
    whole = code(x)
    monkeypatch.setattr("cl_sparse.layers.patch_code._CHUNK", 1)
    torch.testing.assert_close(code(x).square(), whole.square(), rtol=1e-2, atol=1e-3)  # bfloat16
    assert code(x[:0]).shape == (0, code.width)


def test_filters_are_learned_unit_vectors_and_mirror_images() -> None:
    for learn in ("kmeans", "random"):
        code = fitted(learn=learn)
        assert code.fitted
        (filters,) = code.filters
        torch.testing.assert_close(filters.weight.norm(dim=1), torch.ones(12))
        ours, mirrored = filters.weight.view(2, 6, 3, 4, 4)
        assert torch.equal(ours.flip(3), mirrored)
    assert not PatchCode((3, 10, 9), filters=12, sizes=[4]).fitted
    white = PatchFilters(1, 4, 2, mirror=False, whitening=0.1, contrast=0.0025)
    patches = torch.randn(5000, 16) @ torch.randn(16, 16)
    white.fit(patches, torch.Generator().manual_seed(0))
    whitened = (white.normalized(patches) - white.mean) @ white.whitening
    spread = torch.linalg.eigvalsh(whitened.T.cov())
    assert spread.max() < 1.01
    assert spread[2:].min() > 0.05


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(2, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    coarse=st.booleans(),
    scale=st.floats(-30, 30),
)
def test_the_threshold_is_exact(channels: int, share: float, seed: int, coarse: bool, scale: float) -> None:
    k = 1 + int(share * (channels - 2))
    x = torch.randn(2, 5, channels, generator=torch.Generator().manual_seed(seed)) * 2.0**scale
    x = (x.round() if coarse else x).bfloat16()
    cells = torch.tensor([0, 1, 1, 0, 2])
    out = torch.zeros(2, 3, channels)
    sum_winners(x.view(torch.int16).numpy(), k, cells.numpy(), out.numpy())
    exact = (x.float() - x.float().topk(k + 1, dim=2).values[..., -1:]).relu()
    torch.testing.assert_close(out, torch.zeros_like(out).index_add_(1, cells, exact))
    assert int((exact > 0).sum(2).max()) <= k


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"winners": 0.01}, "at least one"),
        ({"sizes": [11]}, "too few 11×11 patches"),
        ({"sizes": [0]}, "at least 1"),
        ({"sizes": []}, "one or more numbers"),
        ({"filters": 13}, "even number"),
        ({"grid": 9}, "for a 9×9 grid"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(**arguments)
    with pytest.raises(ValueError, match="not samples of shape"):
        PatchCode((64,))
    with pytest.raises(ValueError, match="too few to learn"):
        PatchFilters(1, 4, 100).fit(torch.randn(20, 16), torch.Generator())


def test_the_cells_of_a_grid_share_the_places() -> None:
    code = fitted(mirror=False, grid=2)
    cells = code(torch.ones(1, 3, 10, 9)).view(2, 2, -1)
    assert np.isfinite(cells.numpy()).all()
    torch.testing.assert_close(cells[0, 0], cells[1, 1])

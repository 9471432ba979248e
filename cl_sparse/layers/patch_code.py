"""Codes of images by the filters that win at each place, pooled by overlapping windows."""

import functools
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.kernels.arrays import array
from cl_sparse.layers.fixed_features import FixedFeatures
from cl_sparse.layers.patch_filters import PatchFilters
from cl_sparse.layers.windows import cells, windows

_PATCHES = 200_000  # to learn the filters of one size from
_CHUNK = 1 << 23  # responses computed together, in bytes: they stay in the cache, and their memory is used again
_CHUNK_OF_DEVICE = 1 << 28


class PatchCode(FixedFeatures):
    """Fixed features of images: filters learned from the first images seen, winners at each place, pooled by windows.

    At each place of the image, of all filters' responses v,

    - code "winners": the share ``winners`` of the filters with the largest win, and give what they have beyond the
      best loser's: relu(v − v_(k+1)) (``KWinners2d(local=True)`` with a soft threshold);
    - code "triangle": relu(mean − d) of the distances d from the patch to all filters (Coates, Lee and Ng 2011).

    Codes are averaged under Gaussian windows, ``grid``×``grid`` of them evenly over the image, each as wide as a fifth
    of it (σ = .22 of its side) however many. With ``mirror`` the window of a filter and the mirrored window of
    its mirror filter are added, so that an image and its mirror image have the same code. The square root comes last.

    Args:
        image: (channels, height, width).
        filters: of each size; with ``mirror`` the mirror images included.
        sizes: of the patches, pixels on a side; each has filters of its own.
        code: "winners" or "triangle".
        winners: share of the filters that win at a place.
        grid: windows on a side.
        whitening: added to the variances of patches whose pixels have variance 1: the more, the less is whitened.
        contrast: added to a patch's variance, as a share of the images': the more, the flatter flat patches stay.
        mirror: whether filters come with their mirror images, for images that may as well be mirrored.
        learn: "kmeans", or "random" patches as filters.

    Shapes: (B, channels, height, width) → (B, :attr:`width`).

    Raises:
        ValueError: a patch or the grid is larger than the image allows, or no filter or all of them would win.
    """

    learns_first = True

    def __init__(
        self,
        image: tuple[int, ...],
        filters: Annotated[
            int, Field(ge=2, le=32_767, description="Filters of each size, mirror images included.")
        ] = 400,
        sizes: Annotated[list[int] | None, Field(description="Of the patches, pixels on a side; null: [6].")] = None,
        code: Annotated[
            Literal["winners", "triangle"], Field(description="winners: the largest responses; triangle: by distance.")
        ] = "winners",
        winners: Annotated[float, Field(gt=0, lt=1, description="Share of the filters that win at a place.")] = 0.1,
        grid: Annotated[int, Field(ge=1, description="Windows on a side that codes are averaged under.")] = 3,
        mirror: Annotated[bool, Field(description="Whether filters come with their mirror images.")] = True,
        learn: Annotated[
            Literal["kmeans", "random"], Field(description="Filters: centres of patches, or patches as they are.")
        ] = "kmeans",
        whitening: Annotated[
            float, Field(ge=1e-6, le=1e6, description="Added to the patches' variances (1 on average).")
        ] = 0.5,
        contrast: Annotated[
            float, Field(ge=1e-6, le=1e6, description="Added to a patch's variance, share of the images'.")
        ] = 0.02,
    ) -> None:
        super().__init__()
        sizes = [6] if sizes is None else sizes
        if len(image) != 3:
            raise ValueError(f"patches need images (channels, height, width), not samples of shape {tuple(image)}")
        channels, height, width = image
        if any(size < 1 for size in sizes) or not sizes:
            raise ValueError(f"sizes must be one or more numbers of at least 1, not {sizes}")
        for size in sizes:
            if channels * size * size < 2:
                raise ValueError(f"sizes: a {size}×{size} patch of one channel is a number, which has no contrast")
            if min(height, width) - size + 1 < grid:
                raise ValueError(f"{height}×{width} pixels have too few {size}×{size} patches for a {grid}×{grid} grid")
        self.k = round(winners * filters)
        if code == "winners" and not 1 <= self.k < filters:
            raise ValueError(f"{winners:g} of {filters} filters are {self.k}: at least one, and not all, must win")
        self.image, self.code, self.grid, self.mirror = (channels, height, width), code, grid, mirror
        self.filters = nn.ModuleList(
            PatchFilters(channels, size, filters, mirror, learn, whitening, contrast) for size in sizes
        )
        self.width = len(sizes) * grid * grid * filters // (2 if mirror else 1)

    @property
    def fitted(self) -> bool:
        """Whether the filters have been learned."""
        return all(bool(filters.weight.any()) for filters in self._sizes())

    @torch.no_grad()
    def fit(self, images: Tensor, generator: torch.Generator) -> None:
        """Learn the filters from patches of ``images`` (n, channels, height, width), drawn by ``generator``."""
        for filters in self._sizes():
            filters.fit(_draw_patches(images, filters.size, _PATCHES, generator), generator)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return the codes (B, width) of images (B, channels, height, width); 0 while the filters are."""
        if not self.fitted:
            return x.new_zeros(len(x), self.width)
        return torch.cat([self._code(x.reshape(-1, *self.image), filters) for filters in self._sizes()], dim=1)

    def multiply_adds(self) -> int:
        """Return the multiply-adds of one image's responses."""
        _, height, width = self.image
        return sum((height - f.size + 1) * (width - f.size + 1) * f.weight.numel() for f in self._sizes())

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return f"code={self.code}, k={self.k}, grid={self.grid}, mirror={self.mirror}, width={self.width}"

    def _sizes(self) -> list[PatchFilters]:
        return [filters for filters in self.filters if isinstance(filters, PatchFilters)]

    def _code(self, x: Tensor, filters: PatchFilters) -> Tensor:
        _, height, width = self.image
        rows, columns = height - filters.size + 1, width - filters.size + 1
        cell_of, weights = cells(rows, columns).to(x.device), windows(rows, columns, self.grid).to(x)
        chunk = _CHUNK if x.device.type == "cpu" else _CHUNK_OF_DEVICE
        step = max(1, chunk // (rows * columns * len(filters.weight) * 2))
        pooled = torch.cat([self._pooled(part, filters, cell_of, weights) for part in torch.split(x, step)])
        return self._folded(pooled).sqrt_().flatten(1)

    def _pooled(self, x: Tensor, filters: PatchFilters, cell_of: Tensor, weights: Tensor) -> Tensor:
        """Return the codes under each window, (B, windows, filters)."""
        patches = nn.functional.unfold(x, filters.size).transpose(1, 2)
        if self.code == "triangle":
            return weights[:, cell_of] @ _triangle(patches, filters)
        responses = _product(patches, filters)
        if responses.dtype == torch.bfloat16 and x.device.type == "cpu":
            return weights @ self._summed(responses, cell_of)
        return weights[:, cell_of] @ _winners(responses, self.k).to(x)

    def _summed(self, responses: Tensor, cell_of: Tensor) -> Tensor:
        """Return the sums of the winners' codes over each cell, (B, cells, filters)."""
        from cl_sparse.kernels import local_winners as kernels

        out = torch.zeros(len(responses), int(cell_of[-1]) + 1, responses.shape[2])
        kernels.use_torch_threads()
        kernels.sum_winners(array(responses.view(torch.int16)), self.k, array(cell_of), array(out))
        return out

    def _folded(self, pooled: Tensor) -> Tensor:
        """Return (B, windows, width of one): windows of filters, the mirrored ones of their mirror images added."""
        if not self.mirror:
            return pooled
        ours, mirrored = pooled.view(len(pooled), self.grid, self.grid, pooled.shape[2]).chunk(2, dim=3)
        return torch.flatten(ours + mirrored.flip(2), 1, 2)


def _product(patches: Tensor, filters: PatchFilters) -> Tensor:
    """Return the responses: of float32 patches in bfloat16, and multiplied in it where the device is made for it."""
    if patches.dtype != torch.float32:
        responses: Tensor = filters(patches)
        return responses
    weight = filters.whitening @ filters.weight.T
    flat = filters.normalized(patches) - filters.mean
    if patches.device.type != "cpu" or _multiplies_bfloat16():
        return flat.bfloat16() @ weight.bfloat16()
    return (flat @ weight).bfloat16()


@functools.cache
def _multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for it: without them such a product takes twenty times as long as float32's."""
    can = torch.cpu.get_capabilities()
    return bool(can.get("amx_bf16") or can.get("avx512_bf16"))


def _winners(responses: Tensor, k: int) -> Tensor:
    """Return relu(v − v_(k+1)) of responses (B, places, filters), in 32 bits or more."""
    n = responses.shape[2]
    if 2 * k < n:
        threshold = responses.topk(k + 1, sorted=False).values.amin(2, keepdim=True)
    else:  # the same number, found among fewer
        threshold = responses.topk(n - k, largest=False, sorted=False).values.amax(2, keepdim=True)
    wide = torch.promote_types(responses.dtype, torch.float32)
    return (responses.to(wide) - threshold.to(wide)).relu_()


def _triangle(patches: Tensor, filters: PatchFilters) -> Tensor:
    white = (filters.normalized(patches) - filters.mean) @ filters.whitening
    responses = _product(patches, filters).to(white)
    squares = white.square().sum(-1, keepdim=True) + filters.weight.square().sum(1)
    distances = (squares - 2 * responses).clamp_(min=0).sqrt_()
    return (distances.mean(-1, keepdim=True) - distances).relu_()


def _draw_patches(images: Tensor, size: int, number: int, generator: torch.Generator) -> Tensor:
    """Return ``number`` patches (number, channels·size²) from random places of random images."""
    _, _, height, width = images.shape
    which, row, column = (
        torch.randint(high, (number,), generator=generator).to(images.device)
        for high in (len(images), height - size + 1, width - size + 1)
    )
    windows = images.unfold(2, size, 1).unfold(3, size, 1)  # a view
    return windows[which, :, row, column].flatten(1)

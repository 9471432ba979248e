"""Filters for small patches of images, learned without labels: normalised, whitened, clustered."""

import torch
from torch import Tensor, nn

_ROUNDS = 8  # of k-means; more change nothing that is seen in accuracy


class PatchFilters(nn.Module):
    """Unit filters for whitened patches, and the whitening (Coates and Ng 2012, "Learning feature representations").

    A patch p becomes Z·((p − mean(p))/√(var(p) + ε) − m). Filters are the centres of spherical k-means over such
    patches, or such patches drawn at random. With ``mirror`` the second half of them are the mirror images of the
    first.

    Args:
        channels: of the images.
        size: of a patch, pixels on a side.
        filters: number of them, the mirror images included.
        mirror: whether the second half mirrors the first.
        learn: "kmeans" or "random".
        whitening: added to the variances of the normalised patches' principal components, which are 1 on average.
        contrast: ε as a share of the patches' variance.

    Attributes:
        weight: (filters, channels·size²), to be multiplied with whitened patches; all 0 before :meth:`fit`.

    Raises:
        ValueError: ``mirror`` with an odd number of filters.
    """

    contrast: Tensor
    mean: Tensor
    whitening: Tensor

    def __init__(
        self,
        channels: int,
        size: int,
        filters: int,
        mirror: bool = True,
        learn: str = "kmeans",
        whitening: float = 0.5,
        contrast: float = 0.02,
    ) -> None:
        super().__init__()
        if mirror and filters % 2:
            raise ValueError(f"mirror filters come in pairs: choose an even number, not {filters}")
        self.channels, self.size, self.mirror, self.learn = channels, size, mirror, learn
        self.softening, self.share = whitening, contrast
        pixels = channels * size * size
        self.weight = nn.Parameter(torch.zeros(filters, pixels), requires_grad=False)
        self.whitening = nn.Parameter(torch.eye(pixels), requires_grad=False)
        self.mean = nn.Parameter(torch.zeros(pixels), requires_grad=False)
        self.contrast = nn.Parameter(torch.tensor(contrast), requires_grad=False)

    @torch.no_grad()
    def fit(self, patches: Tensor, generator: torch.Generator) -> None:
        """Learn the whitening and the filters.

        Args:
            patches: (n, channels·size²), of ``torch.nn.functional.unfold``'s order.
            generator: draws the first centres.

        Raises:
            ValueError: fewer patches than filters.
        """
        wanted = len(self.weight) // 2 if self.mirror else len(self.weight)
        if len(patches) < wanted:
            raise ValueError(f"{len(patches)} patches are too few to learn {wanted} filters from")
        self.contrast.copy_((self.share * patches.var()).clamp(min=1e-12))  # above 0 where all patches are flat
        if self.mirror:
            patches = torch.cat([patches, self._mirrored(patches)])
        flat = self.normalized(patches)
        self.mean.copy_(flat.mean(0))
        self.whitening.copy_(_zca(flat - self.mean, self.softening))
        white = (flat - self.mean) @ self.whitening
        first = white[torch.randperm(len(white), generator=generator)[:wanted].to(white.device)]
        found = _kmeans(white, first) if self.learn == "kmeans" else nn.functional.normalize(first)
        self.weight.copy_(torch.cat([found, self._mirrored(found)]) if self.mirror else found)

    def normalized(self, patches: Tensor) -> Tensor:
        """Return patches (..., channels·size²) with mean 0 and contrast 1."""
        centred = patches - patches.mean(-1, keepdim=True)
        normalized: Tensor = centred * (centred.square().mean(-1, keepdim=True) + self.contrast).rsqrt()
        return normalized

    def forward(self, patches: Tensor) -> Tensor:
        """Return the responses (..., filters) to patches (..., channels·size²): their whitened product."""
        filters = self.whitening @ self.weight.T
        responses: Tensor = self.normalized(patches) @ filters - self.mean @ filters
        return responses

    def _mirrored(self, patches: Tensor) -> Tensor:
        mirrored: Tensor = patches.view(-1, self.channels, self.size, self.size).flip(3).flatten(1)
        return mirrored


def _zca(centred: Tensor, softening: float) -> Tensor:
    values, vectors = torch.linalg.eigh((centred.T @ centred / len(centred)).double())
    whitening: Tensor = (vectors * (values + softening).rsqrt()) @ vectors.T
    return whitening.to(centred)


def _kmeans(points: Tensor, centres: Tensor) -> Tensor:
    """Return unit centres (k, d): each the direction of the sum of the points that are most along it."""
    centres = nn.functional.normalize(centres)
    for _ in range(_ROUNDS):
        sums = torch.zeros_like(centres)
        for part in torch.split(points, 8192):
            best = (part @ centres.T).max(1)
            sums.index_add_(0, best.indices, part * best.values[:, None])
        # A centre nothing is along stays.
        centres = torch.where(sums.any(1, keepdim=True), nn.functional.normalize(sums), centres)
    return centres

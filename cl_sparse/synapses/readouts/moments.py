"""Sums over a stream of features that a readout is solved from: counts, class means, scatter within the classes."""

from typing import Any

import torch
from torch import Tensor, nn

FP32, BITS16 = 4, 2  # bytes of a stored number
_STEPS = 32_767  # of a correlation in 16 bits, from 0 to 1: evenly, unlike float16, whose large numbers are coarse


class Moments(nn.Module):
    """Counts, means and the pooled scatter within classes of all features so far; order and batches do not matter.

    The scatter S = Σ (x − μ_c)(x − μ_c)ᵀ is carried from task to task as half of a symmetric matrix of correlations,
    and its diagonal: in 32 bits, in 16, or, where that is still more than ``max_bytes``, as its largest eigenvectors
    (in 16 bits) beside the exact diagonal. While a task is under way it is a full matrix in the working memory.

    Args:
        features: number d of features.
        classes: number of classes; a class may be a part of an output's samples.
        max_bytes: of all that is carried; None: 32 bits.

    Attributes:
        storage: "fp32", "int16" or "low rank".
        rank: number of eigenvectors, for "low rank".

    Raises:
        ValueError: ``max_bytes`` does not even hold one eigenvector.
    """

    counts: Tensor
    means: Tensor
    shift: Tensor
    diagonal: Tensor
    packed: Tensor
    values: Tensor

    def __init__(self, features: int, classes: int, max_bytes: int | None = None) -> None:
        super().__init__()
        self.storage, self.rank = _storage(features, classes, max_bytes)
        half = features * (features - 1) // 2
        kinds = {"fp32": torch.get_default_dtype(), "int16": torch.int16, "low rank": torch.float16}
        self.register_buffer("counts", torch.zeros(classes))
        self.register_buffer("means", torch.zeros(classes, features))
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("diagonal", torch.zeros(features))
        self.register_buffer(
            "packed",
            torch.zeros((features, self.rank) if self.storage == "low rank" else half, dtype=kinds[self.storage]),
        )
        self.register_buffer("values", torch.zeros(self.rank))
        self._sums: tuple[Tensor, Tensor] | None = None  # Σxxᵀ and Σx by class, while a task is under way

    @property
    def n(self) -> float:
        """Number of samples so far."""
        return float(self.counts.sum())

    @torch.no_grad()
    def add(self, x: Tensor, classes: Tensor) -> None:
        """Add samples: features (B, d) and classes (B,) long."""
        if not self.n and self._sums is None and len(x):
            self.shift.copy_(x.mean(0))  # sums are of x − shift: less is lost to rounding
        x = x - self.shift
        products, sums = self._open()
        for first in range(0, x.shape[1], _BLOCK):  # of columns: what is above the diagonal is not needed
            last = first + _BLOCK
            products[first:, first:last].addmm_(x[:, first:].T, x[:, first:last])
        sums.index_add_(0, classes, x)
        self.counts += torch.bincount(classes, minlength=len(self.counts)).to(self.counts)

    @torch.no_grad()
    def close(self) -> None:
        """Bring what is carried up to date, and free the working memory."""
        if self._sums is None:
            return
        products, sums = self._sums
        self._sums = None
        means = sums / self.counts.clamp(min=1)[:, None]
        self.means.copy_(means + self.shift)
        rounding = _DEAD * torch.finfo(products.dtype).eps * products.diagonal()
        rounding = torch.maximum(rounding, self.counts.sum() * self.least_variance())
        scatter = products.sub_(means.T @ (self.counts[:, None] * means))
        scatter.diagonal().copy_(torch.where(scatter.diagonal() > rounding, scatter.diagonal(), 0.0))
        self._pack(scatter)

    def least_variance(self) -> Tensor:
        """Return the variance (d,) below which a feature of its size does not vary, but for rounding.

        Weights as large as the inverse of such a deviation would be lost in the logits.
        """
        size = self.counts @ self.means / self.counts.sum().clamp(min=1)
        return (_DEAD * torch.finfo(size.dtype).eps * size).square()

    @torch.no_grad()
    def scatter(self) -> Tensor:
        """Return S, (d, d), of what has been closed; what stands above its diagonal means nothing."""
        d = len(self.diagonal)
        if self.storage == "low rank":
            vectors = self.packed.float()
            matrix = (vectors * self.values) @ vectors.T
        else:
            matrix = torch.zeros(d, d, device=self.diagonal.device)
            start = 0
            for row in range(1, d):  # row by row: index tensors would be four times as large as the matrix
                matrix[row, :row] = self.packed[start : start + row]
                start += row
            if self.storage == "int16":
                matrix /= _STEPS
        matrix.diagonal().fill_(1.0)
        scale = self.diagonal.sqrt()
        return matrix.mul_(scale[:, None]).mul_(scale)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self.close()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._sums = None
        super()._load_from_state_dict(*arguments)

    def _open(self) -> tuple[Tensor, Tensor]:
        if self._sums is None:
            means = self.means - self.shift
            weighted = self.counts[:, None] * means
            products = self.scatter().add_(means.T @ weighted) if self.n else torch.zeros(2 * means.shape[1:])
            self._sums = products.to(self.means), weighted
        return self._sums

    def _pack(self, scatter: Tensor) -> None:
        self.diagonal.copy_(scatter.diagonal())
        inverse = torch.where(self.diagonal > 0, self.diagonal.rsqrt(), 0.0)
        scatter.mul_(inverse[:, None]).mul_(inverse)
        if self.storage == "low rank":
            self._pack_low_rank(scatter)
            return
        if self.storage == "int16":
            scatter.mul_(_STEPS).round_().clamp_(-_STEPS, _STEPS)
        start = 0
        for row in range(1, len(scatter)):
            self.packed[start : start + row] = scatter[row, :row]
            start += row

    def _pack_low_rank(self, correlation: Tensor) -> None:
        correlation = correlation.tril() + correlation.tril(-1).T
        always = torch.Generator().manual_seed(0)  # the start of a search that ends in the same place
        start = torch.randn(len(correlation), min(len(correlation), self.rank + _MORE), generator=always)
        start = start.to(correlation)
        basis = torch.linalg.qr(correlation @ start).Q
        for _ in range(_ITERATIONS):
            basis = torch.linalg.qr(correlation @ basis).Q
        values, inner = torch.linalg.eigh(basis.T @ correlation @ basis)
        self.values.copy_(values[-self.rank :])
        self.packed.copy_((basis @ inner)[:, -self.rank :])


_BLOCK = 1024
_DEAD = 100  # a variance below so many rounding errors of the sum of squares, a deviation of the mean's, is none
_MORE, _ITERATIONS = 20, 3  # of the randomised subspace iteration (Halko, Martinsson and Tropp 2011)


def _storage(d: int, classes: int, max_bytes: int | None) -> tuple[str, int]:
    always = FP32 * (classes * (d + 1) + 2 * d)
    half = d * (d - 1) // 2
    if max_bytes is None or always + FP32 * half <= max_bytes:
        return "fp32", 0
    if always + BITS16 * half <= max_bytes:
        return "int16", 0
    rank = (max_bytes - always) // (BITS16 * d + FP32)
    if rank < 1:
        least = always + BITS16 * d + FP32
        raise ValueError(f"max_bytes must be at least {least} for {d} features and {classes} classes, not {max_bytes}")
    return "low rank", min(rank, d)

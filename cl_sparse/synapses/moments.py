"""Means, variances and covariances of what comes in batches."""

import torch
from torch import Tensor


class Moments:
    """Mean and covariance of rows that come in batches, in double precision, on the CPU.

    Batches are merged by the update of Chan, Golub and LeVeque (1979), which loses no digits to a large mean.

    Args:
        only_variances: keep no covariances.

    Attributes:
        count: rows so far.
        mean: (n,).
    """

    def __init__(self, only_variances: bool = False) -> None:
        self.only_variances = only_variances
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self._squares = torch.zeros(0, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take in rows (m, n)."""
        if not len(rows):
            return
        rows = rows.detach().to("cpu", torch.float64)
        mean = rows.mean(0)
        squares = self._products(rows - mean)
        if not self.count:
            self.count, self.mean, self._squares = len(rows), mean, squares
            return
        total, gap = self.count + len(rows), mean - self.mean
        self._squares += squares + self._products(gap[None]) * (self.count * len(rows) / total)
        self.mean = self.mean + gap * (len(rows) / total)
        self.count = total

    def _products(self, rows: Tensor) -> Tensor:
        return rows.square().sum(0) if self.only_variances else rows.T @ rows

    def covariance(self) -> Tensor:
        """Return the population covariance, (n, n).

        Raises:
            ValueError: only variances are kept.
        """
        if self.only_variances:
            raise ValueError("only variances are kept")
        return self._squares / max(1, self.count)

    def std(self) -> Tensor:
        """Return the population standard deviation, (n,)."""
        squares = self._squares if self.only_variances else self._squares.diagonal()
        return (squares / max(1, self.count)).sqrt()

"""Solving with a covariance that is shrunk towards its diagonal."""

import torch
from torch import Tensor


def solve_shrunk(covariance: Tensor, right: Tensor, ridge: float) -> Tensor:
    """Return (Σ + ridge·diag(Σ))⁻¹·B; features that do not vary get 0.

    Args:
        covariance: Σ (d, d); it is overwritten.
        right: B (d, m).
        ridge: above 0.
    """
    factor, scale = factor_shrunk(covariance, ridge)
    return torch.cholesky_solve(right * scale[:, None], factor).mul_(scale[:, None])


def factor_shrunk(covariance: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Return the Cholesky factor of the correlations + ridge, and the scale (d,) that made them: 1/√Σ_ii, or 0."""
    variances = covariance.diagonal().clone()
    scale = torch.where(variances > 0, variances.rsqrt(), 0.0)
    correlations = covariance.mul_(scale[:, None]).mul_(scale)
    correlations.diagonal().fill_(1.0 + ridge)
    factor: Tensor = torch.linalg.cholesky(correlations)
    return factor, scale

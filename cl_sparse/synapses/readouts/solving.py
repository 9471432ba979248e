"""Solving with a covariance that is shrunk towards its diagonal."""

import torch
from torch import Tensor

from cl_sparse.errors import SettingError


def solve_shrunk(covariance: Tensor, right: Tensor, ridge: float) -> Tensor:
    """Return (Σ + ridge·diag(Σ))⁻¹·B; features that do not vary get 0.

    Args:
        covariance: Σ (d, d); it is overwritten.
        right: B (d, m).
        ridge: above 0.

    Raises:
        SettingError: the ridge is less than what rounding has left of the correlations below 0.
    """
    try:
        factor, scale = factor_shrunk(covariance, ridge)
    except ArithmeticError as error:
        problem = f"{ridge:g} is less than the rounding of what is carried: choose a larger one, or more max_bytes"
        raise SettingError("ridge", problem) from error
    return torch.cholesky_solve(right * scale[:, None], factor).mul_(scale[:, None])


def factor_shrunk(covariance: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Return the Cholesky factor of the correlations + ridge, and the scale (d,) that made them: 1/√Σ_ii, or 0.

    Raises:
        ArithmeticError: they are not positive definite.
    """
    variances = covariance.diagonal().clone()
    scale = torch.where(variances > 0, variances.rsqrt(), 0.0)
    correlations = covariance.mul_(scale[:, None]).mul_(scale)
    correlations.diagonal().fill_(1.0 + ridge)
    factor, failed = torch.linalg.cholesky_ex(correlations)
    if failed:
        raise ArithmeticError(f"correlations + {ridge:g} are not positive definite")
    return factor, scale

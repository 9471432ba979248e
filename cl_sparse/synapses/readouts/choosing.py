"""How strong the ridge has to be, from the sums alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cl_sparse.synapses.readouts.moments import Moments
from cl_sparse.synapses.readouts.solving import factor_shrunk

RIDGES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)


@torch.no_grad()
def total_covariance(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return the covariance T of all samples (its lower triangle), and with one-hot targets, (d, C)."""
    shares = moments.counts / max(1.0, moments.n)
    off = moments.means - shares @ moments.means
    with_targets = (shares[:, None] * off).T
    total = moments.scatter().div_(max(1.0, moments.n)).addmm_(with_targets, off)
    variances = total.diagonal()
    variances.copy_(torch.where(variances > moments.least_variance(), variances, 0.0))
    return total, with_targets


@torch.no_grad()
def least_cross_validation(moments: Moments, ridges: Sequence[float] = RIDGES) -> float:
    """Return the ridge with the least generalised cross-validation error of least squares on one-hot targets.

    GCV = Σ_c RSS_c/(1 − df/n)², the rotation-invariant form of leave-one-out (Golub, Heath and Wahba 1979): residual
    sums and the degrees of freedom df = 1 + tr((R + ridge·I)⁻¹R) follow from the sums, so no sample is kept.

    Args:
        moments: of at least one sample.
        ridges: to choose from, the largest of them more than the rounding of the sums.
    """
    shares = (moments.counts / moments.n).double()
    errors = {}
    for ridge in ridges:
        total, with_targets = total_covariance(moments)
        lower = total.tril(-1)
        variances = total.diagonal().clone()
        try:
            factor, scale = factor_shrunk(total, ridge)
        except ArithmeticError:  # less than the rounding of the sums: none to choose
            continue
        weights = torch.cholesky_solve(with_targets * scale[:, None], factor).mul_(scale[:, None])
        explained = 2 * (weights * with_targets).sum()
        of_weights = 2 * (weights * (lower @ weights)).sum() + (weights.square() * variances[:, None]).sum()
        residual = float((shares * (1 - shares)).sum()) - float(explained - of_weights)
        live = int((scale > 0).sum())
        freedom = 1 + live - ridge * float(torch.cholesky_inverse(factor).diagonal()[scale > 0].sum())
        errors[ridge] = residual / max(1e-12, 1 - min(freedom / moments.n, 1)) ** 2
    return min(errors, key=lambda ridge: errors[ridge])

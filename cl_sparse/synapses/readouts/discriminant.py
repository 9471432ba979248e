"""Linear discriminant analysis with one covariance for all classes."""

import torch

from cl_sparse.synapses.readouts.shrunk import ShrunkReadout
from cl_sparse.synapses.readouts.solving import solve_shrunk


class Discriminant(ShrunkReadout):
    """Linear discriminant analysis: w_c = Σ⁻¹·μ_c, b_c = −½·μ_cᵀ·w_c, with the pooled covariance Σ within classes.

    The ridge is added to Σ's correlations, so it means the same for every feature: Σ + ridge·diag(Σ). All classes count
    as equally likely. (Streaming: Hayes and Kanan 2020, "Lifelong machine learning with deep streaming LDA".)

    Args: as for :class:`ShrunkReadout`.
    """

    @torch.no_grad()
    def solve(self) -> None:
        """See the base class."""
        moments = self.moments
        moments.close()
        ridge = self.strength()
        seen = moments.counts > 0
        degrees = max(1.0, moments.n - int(seen.sum()))
        self.weight.copy_(solve_shrunk(moments.scatter().div_(degrees), moments.means.T, ridge).T)
        bias = -0.5 * (moments.means * self.weight).sum(1)
        self.bias.copy_(torch.where(seen, bias, -torch.inf))

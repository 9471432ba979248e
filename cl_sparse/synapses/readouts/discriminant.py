"""Linear discriminant analysis with one covariance for all classes."""

import torch

from cl_sparse.errors import UserError
from cl_sparse.synapses.readouts.shrunk import ShrunkReadout


class Discriminant(ShrunkReadout):
    """Linear discriminant analysis: w_c = Σ⁻¹·(μ_c − m), b_c = −½·(μ_c + m)ᵀ·w_c, with the pooled covariance Σ within
    classes and the mean m of all samples.

    (Any m gives the same differences between classes; m = 0, the textbook's, logits so large that rounding decides.)
    The ridge is added to Σ's correlations, so it means the same for every feature: Σ + ridge·diag(Σ). All classes count
    as equally likely. (Streaming: Hayes and Kanan 2020, "Lifelong machine learning with deep streaming LDA".)

    Args: as for :class:`ShrunkReadout`.
    """

    @torch.no_grad()
    def solve(self) -> None:
        """See the base class.

        Raises:
            UserError: no class has two samples.
        """
        moments = self.moments
        moments.close()
        seen = moments.counts > 0
        degrees = moments.n - int(seen.sum())
        if degrees < 1:
            raise UserError("discriminant: every class so far has a single sample: choose nearest_mean or ridge")
        middle = moments.counts @ moments.means / moments.n
        right = torch.where(seen[:, None], moments.means - middle, 0.0).T
        self.weight.copy_(self.solution(lambda: moments.scatter().div_(degrees), right).T)
        bias = -0.5 * ((moments.means + middle) * self.weight).sum(1)
        self.bias.copy_(torch.where(seen, bias, -torch.inf))

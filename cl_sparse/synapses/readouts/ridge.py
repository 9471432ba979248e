"""Ridge regression on one-hot targets."""

import torch

from cl_sparse.synapses.readouts.choosing import total_covariance
from cl_sparse.synapses.readouts.shrunk import ShrunkReadout


class Ridge(ShrunkReadout):
    """Least squares for one-hot targets, with an intercept: W = (T + ridge·diag(T))⁻¹·cov(x, y), T the covariance.

    Args: as for :class:`ShrunkReadout`.
    """

    @torch.no_grad()
    def solve(self) -> None:
        """See the base class."""
        moments = self.moments
        moments.close()
        shares = moments.counts / max(1.0, moments.n)
        _, with_targets = total_covariance(moments)
        self.weight.copy_(self.solution(lambda: total_covariance(moments)[0], with_targets).T)
        self.bias.copy_(torch.where(shares > 0, shares - self.weight @ (shares @ moments.means), -torch.inf))

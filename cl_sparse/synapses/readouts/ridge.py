"""Ridge regression on one-hot targets."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.readouts.choosing import least_cross_validation, total_covariance
from cl_sparse.synapses.readouts.moments import Moments
from cl_sparse.synapses.readouts.readout import Readout
from cl_sparse.synapses.readouts.solving import solve_shrunk


class Ridge(Readout):
    """Least squares for one-hot targets, with an intercept: W = (T + ridge·diag(T))⁻¹·cov(x, y), T the covariance.

    Args:
        features, outputs: as for :class:`Readout`.
        ridge: shrinkage of the correlations, above 0; null: what :func:`least_cross_validation` says.
        max_bytes: of the sums that are carried; null: 32 bits for every number.
    """

    def __init__(
        self,
        features: int,
        outputs: Sequence[int],
        ridge: Annotated[
            float | None,
            Field(gt=0, description="Added to the diagonal of the correlations; null: chosen by cross-validation."),
        ] = 1e-2,
        max_bytes: Annotated[int | None, Field(ge=1, description="Of the sums that are carried; null: any.")] = None,
    ) -> None:
        super().__init__(features, outputs)
        self.ridge = ridge
        self.moments = Moments(features, len(outputs), max_bytes)

    def update(self, x: Tensor, classes: Tensor) -> None:
        """See the base class."""
        self.moments.add(x, classes)

    @torch.no_grad()
    def solve(self) -> None:
        """See the base class."""
        moments = self.moments
        moments.close()
        ridge = self.ridge or least_cross_validation(moments)
        shares = moments.counts / max(1.0, moments.n)
        self.weight.copy_(solve_shrunk(*total_covariance(moments), ridge).T)
        self.bias.copy_(torch.where(shares > 0, shares - self.weight @ (shares @ moments.means), -torch.inf))

"""Linear discriminant analysis with one covariance for all classes."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.readouts.choosing import least_cross_validation
from cl_sparse.synapses.readouts.moments import Moments
from cl_sparse.synapses.readouts.readout import Readout
from cl_sparse.synapses.readouts.solving import solve_shrunk


class Discriminant(Readout):
    """Linear discriminant analysis: w_c = Σ⁻¹·μ_c, b_c = −½·μ_cᵀ·w_c, with the pooled covariance Σ within classes.

    The ridge is added to Σ's correlations, so it means the same for every feature: Σ + ridge·diag(Σ). All classes count
    as equally likely. (Streaming: Hayes and Kanan 2020, "Lifelong machine learning with deep streaming LDA".)

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
        seen = moments.counts > 0
        degrees = max(1.0, moments.n - int(seen.sum()))
        self.weight.copy_(solve_shrunk(moments.scatter().div_(degrees), moments.means.T, ridge).T)
        bias = -0.5 * (moments.means * self.weight).sum(1)
        self.bias.copy_(torch.where(seen, bias, -torch.inf))

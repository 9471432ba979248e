"""Ridge regression whose solution follows every mini-batch."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.readouts.readout import Readout


class RecursiveRidge(Readout):
    """Least squares for one-hot targets, minimising Σ|y − W·x − b|² + ridge·(|W|² + |b|²), solved anew by each batch.

    P = (ridge·I + Σ x·xᵀ)⁻¹ follows a batch X by Woodbury's identity, P ← P − P·Xᵀ(I + X·P·Xᵀ)⁻¹X·P, and the weights by
    W ← W + P·Xᵀ(Y − X·W): after every batch they are the batch solution for all samples so far.

    Args:
        features, outputs: as for :class:`Readout`.
        ridge: above 0; of features as they are, summed over samples.
    """

    squares = 2
    inverse: Tensor
    joint: Tensor
    seen: Tensor

    def __init__(
        self,
        features: int,
        outputs: Sequence[int],
        ridge: Annotated[float, Field(gt=0, le=1e30, description="Added to the diagonal of the sum of squares.")] = 1.0,
    ) -> None:
        super().__init__(features, outputs)
        self.register_buffer("inverse", torch.eye(features + 1) / ridge)
        self.register_buffer("joint", torch.zeros(features + 1, len(outputs)))  # weights and, last, intercepts
        self.register_buffer("seen", torch.zeros(len(outputs), dtype=torch.bool))

    @torch.no_grad()
    def update(self, x: Tensor, classes: Tensor) -> None:
        """See the base class."""
        x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
        targets = torch.nn.functional.one_hot(classes, len(self.seen)).to(x)
        through = x @ self.inverse
        inner = through @ x.T
        inner.diagonal().add_(1)
        self.inverse -= through.T @ torch.linalg.solve(inner, through)
        self.joint += self.inverse @ (x.T @ (targets - x @ self.joint))
        self.seen |= targets.any(0)

    @torch.no_grad()
    def solve(self) -> None:
        """Show the solution as weight and bias."""
        self.weight.copy_(self.joint[:-1].T)
        self.bias.copy_(torch.where(self.seen, self.joint[-1], -torch.inf))

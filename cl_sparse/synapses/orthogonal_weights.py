"""Orthogonal weights modification: changes keep off the directions that old inputs had."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.projection import LEAVE, Projection


class OrthogonalWeights(Projection):
    """Orthogonal weights modification (Zeng, Chen, Cui and Yu 2019).

    P = I − A(AᵀA + αI)⁻¹Aᵀ (their eq. 1), A being the inputs of all earlier tasks. It is computed as (C/α + I)⁻¹,
    which is the same, with C the sum over tasks of the mean of a·aᵀ: α is in units of one sample's energy, and does
    not depend on how many samples there are. The authors update P batch by batch from the batch's mean input, with an
    α that decays.

    Args:
        alpha: α, above 0; small: nothing old is touched, and little is learned.
        leave: layers that change freely, as shell patterns of their names.
        samples: of a task to learn from, its first ones; None: all.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        alpha: Annotated[
            float, Field(gt=0, description="α: small leaves old outputs alone, large learns freely.")
        ] = 0.1,
        leave: Annotated[list[str] | None, Field(description=LEAVE)] = None,
        samples: Annotated[int | None, Field(ge=1, description="Of a task to learn from; null: all.")] = 10_000,
    ) -> None:
        if not alpha > 0:
            raise ValueError(f"alpha must be above 0, not {alpha}")
        super().__init__(leave, samples)
        self.alpha = alpha
        self.projectors: dict[str, Tensor] = {}

    def learn(self, name: str, moments: Tensor, task: int) -> Tensor:
        """Return the sum over tasks of the second moments, C."""
        return moments if name not in self.memory else moments + self.memory[name]

    def remember(self, name: str, memory: Tensor) -> None:
        """Keep C, and make P of it."""
        super().remember(name, memory)
        whole = memory.double() / self.alpha
        whole.diagonal().add_(1.0)
        self.projectors[name] = torch.cholesky_inverse(torch.linalg.cholesky(whole)).to(memory.dtype)

    def through(self, name: str, rows: Tensor) -> Tensor:
        """Return rows · P."""
        return rows @ self.projectors[name].to(rows.dtype)

"""Orthogonal weights modification: changes keep off the directions that old inputs had."""

from typing import Annotated, Any

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
        self.moments: dict[str, Tensor] = {}
        self.projectors: dict[str, Tensor] = {}

    def learn(self, name: str, moments: Tensor, task: int) -> None:
        """Add the task's second moments."""
        new = moments.to(self.layers[name].get_parameter("weight").dtype)
        self._set(name, self.moments[name] + new if name in self.moments else new)

    def through(self, name: str, rows: Tensor) -> Tensor:
        """Return rows · P."""
        return rows @ self.projectors[name].to(rows.dtype)

    def _set(self, name: str, moments: Tensor) -> None:
        self.moments[name] = moments
        whole = moments.double() / self.alpha
        whole.diagonal().add_(1.0)
        dtype = self.layers[name].get_parameter("weight").dtype
        self.projectors[name] = torch.cholesky_inverse(torch.linalg.cholesky(whole)).to(dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the second moments, of which the projectors follow."""
        return sum(moments.nbytes for moments in self.moments.values())

    def state_dict(self) -> dict[str, Any]:
        """Return the second moments by layer."""
        return {"moments": dict(self.moments)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them.

        Raises:
            ValueError: they are of other layers.
        """
        for name, moments in state["moments"].items():
            inputs = self.layers[name].get_parameter("weight")[0].numel() + 1 if name in self.layers else 0
            if moments.shape != (inputs, inputs):
                raise ValueError(f"{name} has no inputs with moments of shape {tuple(moments.shape)}")
            self._set(name, moments)
            self.known.add(name)

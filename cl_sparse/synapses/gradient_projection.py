"""Gradient projection memory: changes keep off the subspace that old inputs spanned."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.projection import LEAVE, Projection


class GradientProjection(Projection):
    """Gradient projection memory (Saha, Garg and Roy 2021).

    Each layer keeps an orthonormal basis M of what its inputs were; P = I − M·Mᵀ (eq. 6 to 9). When a task ends, the
    basis gains the fewest leading singular vectors of what is new in the task's inputs such that, together, the basis
    holds a share ε of their energy (eq. 5 and 9; here from the eigenvectors of their second moments, which are the same
    vectors).

    Args:
        energy: ε for the first task, 0 to 1.
        step: what ε grows by from task to task, until it is 1.
        leave: layers that change freely, as shell patterns of their names.
        samples: of a task to learn from, its first ones; None: all. The authors take 125 to 300.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        energy: Annotated[
            float, Field(ge=0, le=1, description="Share ε of old inputs' energy that is protected.")
        ] = 0.95,
        step: Annotated[float, Field(ge=0, le=1, description="What ε grows by from task to task.")] = 0.0,
        leave: Annotated[list[str] | None, Field(description=LEAVE)] = None,
        samples: Annotated[int | None, Field(ge=1, description="Of a task to learn from; null: all.")] = 300,
    ) -> None:
        if not 0 <= energy <= 1 or not 0 <= step <= 1:
            raise ValueError(f"energy and step must be from 0 to 1, not {energy} and {step}")
        super().__init__(leave, samples)
        self.energy, self.step = energy, step
        self.bases: dict[str, Tensor] = {}

    def learn(self, name: str, moments: Tensor, task: int) -> None:
        """Add to the basis what holds the task's energy."""
        weight = self.layers[name].get_parameter("weight")
        basis = self.bases.get(name, weight.new_zeros(len(moments), 0)).double()
        rest = moments - basis @ (basis.T @ moments)
        rest = rest - (rest @ basis) @ basis.T
        values, vectors = torch.linalg.eigh(rest)
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
        total = moments.trace()
        held = total - values.sum() + torch.cat([values.new_zeros(1), values.cumsum(0)])
        wanted = min(1.0, self.energy + task * self.step) * total
        n_new = int((held < wanted * (1 - 1e-12)).sum())
        n_new = min(n_new, len(moments) - basis.shape[1])
        whole = torch.linalg.qr(torch.cat([basis, vectors[:, :n_new]], 1))[0]
        self.bases[name] = whole.to(weight.dtype)

    def through(self, name: str, rows: Tensor) -> Tensor:
        """Return rows − rows·M·Mᵀ."""
        basis = self.bases[name]
        return rows - (rows @ basis) @ basis.T

    @property
    def nbytes(self) -> int:
        """Bytes of the bases."""
        return sum(basis.nbytes for basis in self.bases.values())

    def state_dict(self) -> dict[str, Any]:
        """Return the bases by layer."""
        return {"bases": dict(self.bases)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them.

        Raises:
            ValueError: they are of other layers.
        """
        for name, basis in state["bases"].items():
            inputs = self.layers[name].get_parameter("weight")[0].numel() + 1 if name in self.layers else 0
            if basis.dim() != 2 or len(basis) != inputs:
                raise ValueError(f"{name} has no inputs with a basis of shape {tuple(basis.shape)}")
            self.bases[name] = basis
            self.known.add(name)

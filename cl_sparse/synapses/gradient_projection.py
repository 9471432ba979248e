"""Gradient projection memory: changes keep off the subspace that old inputs spanned."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.projection import LEAVE, Projection, by_layer


class GradientProjection(Projection):
    """Gradient projection memory (Saha, Garg and Roy 2021).

    Each layer keeps an orthonormal basis M of what its inputs were; P = I − M·Mᵀ (eq. 6 to 9). When a task ends, the
    basis gains the fewest leading singular vectors of what is new in the task's inputs such that, together, the basis
    holds a share ε of their energy (eq. 5 and 9; here from the eigenvectors of their second moments, which are the same
    vectors).

    Args:
        energy: ε for the first task, 0 to 1. Or a list, an ε for each layer that is not left.
        step: what ε grows by from task to task, until it is 1.
        leave: layers that change freely, as shell patterns of their names.
        samples: of a task to learn from, its first ones; None: all. The authors take 125 to 300.

    Raises:
        ValueError: a number is out of range, or there are not as many ε as layers.
    """

    def __init__(
        self,
        energy: Annotated[
            float | list[float],
            Field(description="Share ε of old inputs' energy that is protected, 0 to 1. A list: by layer."),
        ] = 0.95,
        step: Annotated[float, Field(ge=0, le=1, description="What ε grows by from task to task.")] = 0.0,
        leave: Annotated[list[str] | None, Field(description=LEAVE)] = None,
        samples: Annotated[int | None, Field(ge=1, description="Of a task to learn from; null: all.")] = 300,
    ) -> None:
        energies = energy if isinstance(energy, list) else [energy]
        if not energies or not all(0 <= one <= 1 for one in (*energies, step)):
            raise ValueError(f"energy and step must be from 0 to 1, not {energy} and {step}")
        super().__init__(leave, samples)
        self.energy, self.step = energy, step

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with everything let through.

        Raises:
            ValueError: as for any projection, or the list of ε is not as long as there are layers.
        """
        super().attach(ledger, generator)
        self._energies = by_layer(self.energy, self.layers, "energy")

    def learn(self, name: str, moments: Tensor, task: int) -> Tensor:
        """Return the basis M, with what holds the task's energy added."""
        basis = self.memory.get(name, moments.new_zeros(len(moments), 0)).double()
        rest = moments - basis @ (basis.T @ moments)
        rest = rest - (rest @ basis) @ basis.T
        values, vectors = torch.linalg.eigh(rest)
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
        total = moments.trace()
        held = total - values.sum() + torch.cat([values.new_zeros(1), values.cumsum(0)])
        wanted = min(1.0, self._energies[name] + task * self.step) * total
        n_new = min(int((held < wanted * (1 - 1e-12)).sum()), len(moments) - basis.shape[1])
        whole: Tensor = torch.linalg.qr(torch.cat([basis, vectors[:, :n_new]], 1))[0]
        return whole

    def through(self, name: str, rows: Tensor) -> Tensor:
        """Return rows − rows·M·Mᵀ."""
        basis = self.memory[name]
        return rows - (rows @ basis) @ basis.T

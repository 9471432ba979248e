"""Numbers that a ledger keeps for an owner, and how they meet a net that has changed by other means."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cl_sparse.wiring.moved import Resized


@dataclass
class Kept:
    """A number for each entry of each parameter, and what a new synapse starts with."""

    fresh: float
    numbers: dict[str, Tensor] = field(default_factory=dict)

    def meet(self, parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
        """Return the numbers of these parameters, in their shape, type and place."""
        return {name: self._meet(name, parameter.detach()) for name, parameter in parameters.items()}

    def _meet(self, name: str, parameter: Tensor) -> Tensor:
        known = self.numbers.get(name)
        if known is None:
            return torch.full_like(parameter, self.fresh)
        if known.shape != parameter.shape:
            more = parameter.shape[0] - known.shape[0] if parameter.dim() == known.dim() > 0 else 0
            if more <= 0 or known.shape[1:] != parameter.shape[1:]:
                raise ValueError(
                    f"{name} was {tuple(known.shape)} and is {tuple(parameter.shape)}: a net may gain units by other "
                    "means, what else changes its shape has to go through the ledger's resize"
                )
            known = Resized(0, torch.arange(len(known)), more).carry(known, self.fresh)
        return known.to(parameter)

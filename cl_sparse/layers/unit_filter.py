"""What the layers share that multiply each unit by a learned number, so that a net can learn which units it needs."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn


class UnitFilter(nn.Module, ABC):
    """Multiply each unit's pre-activation by a factor that is learned: y_i = s_i · x_i.

    It stands behind a weight layer (and its batch normalisation) and before the activation. A factor at least 0 may as
    well stand behind ReLU: ReLU(s·x) = s·ReLU(x). A unit with a factor of exactly 0 is dead: ``NeuronGC`` removes it.

    Args:
        n: number of units; of a convolution, channels.
        cost: what a unit costs in :meth:`penalty`; of a convolution's channel the area of its kernel.

    Shapes: input and output (B, n) or (B, n, H, W).

    Raises:
        ValueError: there are no units, or ``cost`` is below 0.
    """

    per_unit: ClassVar[dict[str, float]]
    """By name of each tensor that holds something for each unit: what a new unit has there."""

    def __init__(self, n: int, cost: float = 1.0) -> None:
        super().__init__()
        if n < 1 or not cost >= 0:
            raise ValueError(f"{type(self).__name__}: n must be at least 1 and cost at least 0, not {n} and {cost}")
        self.cost = cost

    @property
    def n(self) -> int:
        """Number of units."""
        held = getattr(self, next(iter(self.per_unit)))
        return int(held.shape[0])

    @abstractmethod
    def factors(self) -> Tensor:
        """Return s, (n,), with gradient."""

    def drawn_factors(self) -> Tensor:
        """Return what a forward pass multiplies by, (n,): s, unless a filter draws something in training."""
        return self.factors()

    @abstractmethod
    def penalty(self, exempt: Tensor | None = None) -> Tensor:
        """Return what the units cost, a scalar with gradient, to be multiplied by λ and added to the loss.

        Args:
            exempt: bool (n,), units that cost nothing.
        """

    def dead(self) -> Tensor:
        """Return which units have a factor of exactly 0, bool (n,)."""
        return self.factors().detach() == 0

    def forward(self, x: Tensor) -> Tensor:
        """Multiply each unit by its factor.

        Raises:
            ValueError: ``x`` is not of ``n`` units.
        """
        if not isinstance(x, Tensor) or x.dim() < 2 or x.shape[1] != self.n:
            given = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"{type(self).__name__}: the input must be of shape (B, {self.n}, ...), not {given}")
        filtered = x * self.drawn_factors().view(-1, *[1] * (x.dim() - 2))
        return filtered.to(x.dtype)  # what follows is to know that it was rounded (autocast)

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return f"n={self.n}, cost={self.cost:g}"


def sum_of_free(costs: Tensor, exempt: Tensor | None) -> Tensor:
    """Return the sum of what units cost (n,), but for those that are exempt."""
    return costs.sum() if exempt is None else torch.where(exempt, 0.0, costs).sum()

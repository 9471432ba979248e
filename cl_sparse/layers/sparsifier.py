"""A filter that lets a unit go once its number is no longer above 0."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from cl_sparse.layers.unit_filter import UnitFilter, sum_of_free


class Sparsifier(UnitFilter):
    """y_i = ReLU(f_i)·x_i, at the cost Σ ReLU(f_i) (the sparsifier of Leclerc 2017, later "ShrinkNets").

    A unit with f ≤ 0 gets no gradient any more: it stays dead. f is not to decay. Adam moves f by about its learning
    rate a step: from 1 at 0.001, nothing dies within 1000 steps. For short training give f a larger learning rate, or
    start from "uniform".

    Args:
        n: number of units; of a convolution, channels.
        cost: of a unit; of a convolution's channel the area of its kernel.
        start: "one": f = 1; "uniform": drawn from (0, 1]. Units that come later start at 1.

    Raises:
        ValueError: an argument is out of range.
    """

    per_unit: ClassVar[dict[str, float]] = {"filter": 1.0}

    def __init__(self, n: int, cost: float = 1.0, start: Literal["one", "uniform"] = "one") -> None:
        super().__init__(n, cost)
        if start not in ("one", "uniform"):
            raise ValueError(f"Sparsifier: start must be one or uniform, not {start}")
        self.filter = nn.Parameter(torch.ones(n) if start == "one" else 1 - torch.rand(n))

    def factors(self) -> Tensor:
        """Return ReLU(f), (n,)."""
        return self.filter.relu()

    def penalty(self, exempt: Tensor | None = None) -> Tensor:
        """Return cost · Σ ReLU(f)."""
        return self.cost * sum_of_free(self.factors(), exempt)

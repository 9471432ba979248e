"""A filter whose number of units is one parameter: a window that falls off at a place that is learned."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from cl_sparse.layers.unit_filter import UnitFilter

SLOPES = (1.0, 20.0)  # in units: over how many the window falls from 99 % to 1 %, drawn at random


class FlexibleLayer(UnitFilter):
    """y_i = σ(−k·(i − x₀))·x_i for the units i = 0..n − 1, at the cost of the window's area (the journal's section 7).

    The cost is the integral of the window over [0, n] in a form that overflows nowhere,

        size = (softplus(k·x₀) − softplus(k·(x₀ − n))) / k.

    Penalising x₀ itself would have no lower bound. The window moves by the gradient at its slope only, so the final
    size depends on where it starts: this layer is kept as a documented baseline that the other filters beat. x₀ wants a
    learning rate of its own, about 1 unit per step of Adam, and is not to decay.

    Args:
        n: number of units; of a convolution, channels.
        cost: of a unit; of a convolution's channel the area of its kernel.
        size: x₀ at the start; None: half of the units.
        steepness: k, above 0.
        random_slope: draw k anew at each forward pass in training, from torch's random numbers: 2·ln(99)/g with g
            uniform in 1..20 units, so that units farther from x₀ get a gradient too.

    Raises:
        ValueError: an argument is out of range.
    """

    per_unit: ClassVar[dict[str, float]] = {"present": 1.0}
    present: Tensor

    def __init__(
        self, n: int, cost: float = 1.0, size: float | None = None, steepness: float = 1.0, random_slope: bool = False
    ) -> None:
        super().__init__(n, cost)
        if not 0 < steepness < math.inf or (size is not None and not math.isfinite(size)):
            raise ValueError(f"FlexibleLayer: steepness must be above 0 and size a number, not {steepness} and {size}")
        self.steepness, self.random_slope = steepness, random_slope
        self.edge = nn.Parameter(torch.tensor(n / 2 if size is None else float(size)))
        self.register_buffer("present", torch.ones(n))

    def factors(self) -> Tensor:
        """Return σ(−k·(i − x₀)), (n,)."""
        return self._window(self.steepness)

    def drawn_factors(self) -> Tensor:
        """Return the same, in training with a slope that is drawn if ``random_slope``."""
        if not (self.random_slope and self.training):
            return self.factors()
        return self._window(2 * math.log(99) / float(torch.empty(()).uniform_(*SLOPES)))

    @torch.no_grad()
    def open(self) -> None:
        """Move x₀ so far behind all units that every factor is 1 in single precision, with the flattest slope too."""
        flattest = 2 * math.log(99) / SLOPES[1] if self.random_slope else self.steepness
        self.edge.fill_(self.n + 20 / flattest)  # σ(20) rounds to 1

    @torch.no_grad()
    def start_at(self, size: float) -> None:
        """Set x₀, in units."""
        self.edge.fill_(size)

    def size(self) -> Tensor:
        """Return the area of the window in units, a scalar with gradient, from 0 to n."""
        k = self.steepness
        return (_softplus(k * self.edge) - _softplus(k * (self.edge - self.n))) / k

    def penalty(self, exempt: Tensor | None = None) -> Tensor:
        """Return cost · size. The window knows no single units: none can be exempt.

        Raises:
            ValueError: a unit is to be exempt.
        """
        if exempt is not None and bool(exempt.any()):
            raise ValueError("FlexibleLayer: its units cost something together: none can be exempt")
        return self.cost * self.size()

    def _window(self, steepness: float) -> Tensor:
        places = torch.arange(self.n, device=self.edge.device, dtype=self.edge.dtype)
        return torch.sigmoid(-steepness * (places - self.edge))


def _softplus(z: Tensor) -> Tensor:
    return -logsigmoid(-z)  # torch's softplus is exact up to 20 only

"""Features that are not trained by gradients: drawn at random, or learned from the first samples and fixed then."""

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers.k_winners import KWinners
from cl_sparse.layers.sparse_linear import SparseLinear


class FixedFeatures(nn.Module):
    """A map from samples (B, ...) to features (B, width) without any trained weight.

    Attributes:
        width: number of features.
        learns_first: whether :meth:`fit` learns from the first task's samples, and so is told where that ends.
        samples: how many of them it is given, at most.
        from_0_to_1: whether the inputs have to be from 0 to 1.
    """

    width: int
    learns_first: bool = False
    samples: int = 10_000
    from_0_to_1: bool = False

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` is needed no more."""
        return True

    def fit(self, samples: Tensor, generator: torch.Generator) -> None:
        """Learn from samples (n, ...), once, before any other use; what is drawn comes from ``generator``.

        Raises:
            ValueError: the samples are not such as can be learned from.
        """

    def multiply_adds(self) -> int:
        """Return the multiply-adds for one sample."""
        return 0

    def statistics(self) -> dict[str, Any]:
        """Return what was measured in :meth:`fit`, by name."""
        return {}


class Pixels(FixedFeatures):
    """The samples as they are, flattened.

    Args:
        shape: of a sample.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.width = math.prod(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width)."""
        return x.flatten(1)


class RandomCode(FixedFeatures):
    """Winners among many units that each add up a few inputs, drawn at random.

    As the fruit fly's mushroom body (Dasgupta, Stevens and Navlakha 2017): a sparse expansion, then k-winners.

    Args:
        shape: of a sample.
        units: number of features.
        density: share of the inputs that a unit reads.
        winners: share of the units that win.
        synapses: "ones", or "normal" numbers.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        units: Annotated[int, Field(ge=1, description="Number of features.")] = 10_000,
        density: Annotated[float, Field(gt=0, le=1, description="Share of the inputs that a unit reads.")] = 0.1,
        winners: Annotated[float, Field(gt=0, lt=1, description="Share of the units that win.")] = 0.05,
        synapses: Annotated[Literal["ones", "normal"], Field(description="Weights: all 1, or drawn.")] = "ones",
    ) -> None:
        super().__init__()
        self.width = units
        self.linear = SparseLinear(math.prod(shape), units, density=density, bias=False)
        with torch.no_grad():
            self.linear.values.fill_(1.0) if synapses == "ones" else self.linear.values.normal_()
        self.linear.values.requires_grad_(False)
        self.winners = KWinners(units, winners, k_inference_factor=1.0, boost_strength=0.0)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return (B, units), 0 but for the winners."""
        self.winners.eval()
        code: Tensor = self.winners(self.linear(x.flatten(1)))
        return code

    def multiply_adds(self) -> int:
        """See the base class."""
        return self.linear.values.numel()


class RandomFourier(FixedFeatures):
    """Random Fourier features of a Gaussian kernel: √(2/D)·cos(Wx + b) (Rahimi and Recht 2007).

    Args:
        shape: of a sample.
        units: number D of features.
        width: of the kernel exp(−|x − y|²/(2·width²·d)), in standard deviations of one of the d inputs.
    """

    weight: Tensor
    phase: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        units: Annotated[int, Field(ge=1, description="Number of features.")] = 10_000,
        width: Annotated[float, Field(gt=0, description="Of the kernel, in deviations of an input.")] = 1.0,
    ) -> None:
        super().__init__()
        self.width = units
        inputs = math.prod(shape)
        self.weight = nn.Parameter(torch.randn(units, inputs) / (width * math.sqrt(inputs)), requires_grad=False)
        self.phase = nn.Parameter(2 * math.pi * torch.rand(units), requires_grad=False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return (B, units)."""
        return math.sqrt(2 / self.width) * torch.cos(nn.functional.linear(x.flatten(1), self.weight, self.phase))

    def multiply_adds(self) -> int:
        """See the base class."""
        return self.weight.numel()

"""Layers that keep all their weights and compute with some of them: the largest, or a fixed random choice."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call


class LayerMask(nn.Module, ABC):
    """A linear layer or convolution that computes with W·mask; who inherits says what the mask is.

    Unlike ``SparseWeights``, which holds the others at 0, it leaves them as they are, so that they may return.

    Args:
        module: ``nn.Linear``, or ``nn.Conv2d`` without groups and padded by zeros.
        names: of the weights to mask: ["weight"].
        density: share of the layer's weights that are in use, exactly (rounded, at least one); None: it is for the mask
            to say.
        generator: draws which of equals come first; default: torch's global one.

    Attributes:
        module: the layer; its ``weight`` is W, without mask.
        order: with a density, long (weights,): a random permutation; of equal weights those that come first in it stay.

    Raises:
        TypeError: the module is of another kind.
        ValueError: a name is not that of its weight, or the density is out of range.
    """

    order: Tensor | None

    def __init__(
        self,
        module: nn.Module,
        names: Sequence[str] = ("weight",),
        density: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check(type(self).__name__, module, names)
        if not (density is None or 0 < density <= 1):
            raise ValueError(f"density must be above 0 and at most 1, not {density}")
        self.module, self.density = module, density
        weight = module.get_parameter("weight")
        drawn = None if density is None else torch.randperm(weight.numel(), generator=generator)
        self.register_buffer("order", None if drawn is None else drawn.to(weight.device))

    @abstractmethod
    def mask(self) -> Tensor:
        """Return which weights are in use, bool in the weight's shape."""

    def live_share(self) -> float:
        """Return the share of the weights that are in use."""
        return float(self.mask().double().mean())

    def masked_weight(self) -> Tensor:
        """Return what the layer computes with, W where the mask is and 0 elsewhere, where no gradient passes."""
        return self._weight() * self.mask()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        y: Tensor = functional_call(self.module, {"weight": self.masked_weight()}, (x,))
        if self.training:
            self.after_pass(x.detach(), y.detach())
        return y

    def after_pass(self, x: Tensor, y: Tensor) -> None:
        """A training pass has made ``y`` of ``x``."""

    @torch.no_grad()
    def remove(self) -> nn.Module:
        """Return the layer, masked weights set to 0: it gives the same outputs."""
        self._weight().mul_(self.mask())
        return self.module

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return "" if self.density is None else f"density={self.density:g}"

    def _weight(self) -> Tensor:
        weight = self.module._parameters["weight"]  # not get_parameter: within a functional call it is no parameter
        assert weight is not None
        return weight

    def _highest(self, values: Tensor) -> Tensor:
        """Return a mask of the share of weights with the highest values, (units, inputs, ...); of equals by order."""
        assert self.order is not None
        ranked = values.detach().flatten()[self.order].argsort(descending=True, stable=True)
        return self._first(self.order[ranked])

    def _first(self, places: Tensor) -> Tensor:
        """Return a mask of the share of weights that come first in ``places``, long (weights,)."""
        assert self.density is not None
        kept = places[: max(1, round(self.density * len(places)))]
        mask = torch.zeros(len(places), dtype=torch.bool, device=places.device)
        return mask.index_fill_(0, kept, True).view_as(self._weight())


class DensityMask(LayerMask):
    """A mask of a share of the weights that is given.

    Args:
        module, names, density, generator: as :class:`LayerMask`.
    """

    def __init__(
        self,
        module: nn.Module,
        names: Sequence[str] = ("weight",),
        density: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(module, names, density, generator)


class MagnitudeMask(DensityMask):
    """A layer that computes with its largest weights: a share of them, by \\|W\\|, chosen anew in each pass.

    The gradient of each weight in use goes to it as usual, and a weight that is masked gets the one that it would have,
    were it in use (straight through; "dynamic pruning with feedback": Lin et al. 2020). With a masked gradient the
    others would stand still, and the first choice would stay for good, but for weights that shrink.

    Args: as :class:`DensityMask`.
    """

    def mask(self) -> Tensor:
        """Return which weights are the largest now, bool in the weight's shape."""
        return self._highest(self._weight().abs())

    def masked_weight(self) -> Tensor:
        """Return W where the mask is and 0 elsewhere, with W's gradient everywhere."""
        weight = self._weight()
        return weight - (weight * ~self.mask()).detach()


class RandomMask(DensityMask):
    """A layer that computes with a share of its weights drawn at random once, anywhere in it. The others stand still.

    Args:
        module, names, density, generator: as :class:`LayerMask`.
    """

    def mask(self) -> Tensor:
        """Return which weights are in use, bool in the weight's shape."""
        assert self.order is not None
        return self._first(self.order)


def _check(kind: str, module: nn.Module, names: Sequence[str]) -> None:
    if not isinstance(module, nn.Linear | nn.Conv2d):
        raise TypeError(f"{kind} masks a Linear or a Conv2d, not a {type(module).__name__}")
    if list(names) != ["weight"]:
        raise ValueError(f"names: {list(names)}: what can be masked is ['weight']")
    if isinstance(module, nn.Conv2d) and (
        module.groups != 1 or module.padding_mode != "zeros" or isinstance(module.padding, str)
    ):
        raise ValueError(f"{kind}: convolutions in groups, or padded otherwise than by zeros, are not known")

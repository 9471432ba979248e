"""Layers with a fixed random share of their weights held at zero, as masks over dense weights."""

import math

import torch
from torch import Tensor, nn


class SparseWeightsBase(nn.Module):
    """A layer of which only some weights live: the same number at random for each output unit, the others are 0.

    The mask is drawn, from torch's global random numbers, and applied at construction. An optimizer step moves the
    zeros as well, so :func:`rezero_weights` has to be called after every step; without it the layer silently becomes
    dense.

    The wrapped layer is at ``.module`` and the mask in the buffer ``zero_mask`` (True where the weight is held at
    zero), as in nupic.torch, whose checkpoints load.

    Args:
        module: the layer to wrap, with a weight of shape (out, ...).
        weight_sparsity: share of **non-zero** weights. Give this or ``sparsity``.
        sparsity: share of **zero** weights.
        allow_extremes: also allow 0 and 1.

    Raises:
        ValueError: both shares are given, or none, or it is not between 0 and 1.
        TypeError: ``module`` is not of the kind that the class wraps.
    """

    zero_mask: Tensor
    wraps: type[nn.Linear] | type[nn.Conv2d]

    def __init__(
        self,
        module: nn.Module,
        weight_sparsity: float | None = None,
        sparsity: float | None = None,
        allow_extremes: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(module, self.wraps):
            raise TypeError(f"{type(self).__name__} wraps {self.wraps.__name__}, not {type(module).__name__}")
        self.module = module
        density = _density(weight_sparsity, sparsity, allow_extremes)
        self.register_buffer("zero_mask", _random_zero_mask(module.weight, density))
        with torch.no_grad():
            module.weight.masked_fill_(self.zero_mask, 0.0)

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return f"sparsity={self.sparsity:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Apply the wrapped layer."""
        out: Tensor = self.module(x)
        return out

    @property
    def sparsity(self) -> float:
        """The share of weights that the mask holds at zero now, from which the share asked for differs by rounding."""
        return int(self.zero_mask.bool().sum()) / max(1, self.zero_mask.numel())

    @property
    def weight(self) -> Tensor:
        """The weight of the wrapped layer."""
        return self.module.weight

    @property
    def bias(self) -> Tensor | None:
        """The bias of the wrapped layer."""
        return self.module.bias

    def live_mask(self) -> Tensor:
        """Return a new bool tensor in the shape of the weight, True where the weight may be non-zero."""
        # A state dict of nupic.torch, loaded with assign=True, brings a float16 mask.
        return ~self.zero_mask.bool()

    @torch.no_grad()
    def rezero_weights(self) -> None:
        """Set the weights under the mask back to zero (finite ones; a NaN stays visible)."""
        # In-place multiplication by bytes is about ten times faster on a CPU than masked_fill_ by bools.
        self.module.weight.mul_(self.live_mask().view(torch.uint8))


class SparseWeights(SparseWeightsBase):
    """An ``nn.Linear`` in which each output unit keeps round((1 − sparsity)·in_features) inputs. See the base class."""

    wraps = nn.Linear


class SparseWeights2d(SparseWeightsBase):
    """An ``nn.Conv2d`` in which each output channel keeps round((1 − sparsity)·fan_in) weights.

    fan_in = C_in/groups·kh·kw. See the base class.
    """

    wraps = nn.Conv2d


def rezero_weights(model: nn.Module) -> None:
    """Set the masked weights of every sparse layer in ``model`` back to zero, to be done after every optimizer step."""
    for module in model.modules():
        if isinstance(module, SparseWeightsBase):
            module.rezero_weights()


@torch.no_grad()
def normalize_sparse_weights(model: nn.Module) -> None:
    """Draw the live weights of every sparse layer in ``model`` anew, scaled by the number of live inputs of a unit.

    Kaiming-uniform as in torch's own layers (He et al. 2015, with a = √5): the weights and the bias of a unit are
    uniform in ±1/√(live inputs of the unit); the bias of a unit without live inputs is 0. A layer without live weights
    is left alone.
    """
    for module in model.modules():
        if isinstance(module, SparseWeightsBase):
            live_inputs = module.live_mask().flatten(1).sum(1)
            if live_inputs.any():
                _draw_live_weights(module, live_inputs)


def _draw_live_weights(layer: SparseWeightsBase, live_inputs: Tensor) -> None:
    """Draw weights and bias for units with ``live_inputs`` (units,), of which not all are 0."""
    fewest = int(live_inputs[live_inputs > 0].min())
    bound = 1.0 / math.sqrt(fewest)
    # A factor of exactly 1 where all units have as many.
    factor = (fewest / live_inputs.clamp(min=1)).sqrt().mul(live_inputs > 0).to(layer.weight.dtype)
    layer.weight.uniform_(-bound, bound).mul_(factor.view(-1, *[1] * (layer.weight.dim() - 1)))
    layer.rezero_weights()
    if layer.bias is not None:
        layer.bias.uniform_(-bound, bound).mul_(factor)


def _density(weight_sparsity: float | None, sparsity: float | None, allow_extremes: bool) -> float:
    """Return the share of non-zero weights, of which one or its complement is given."""
    if weight_sparsity is not None and sparsity is None:
        return _checked_share("weight_sparsity", weight_sparsity, allow_extremes)
    if sparsity is not None and weight_sparsity is None:
        return 1.0 - _checked_share("sparsity", sparsity, allow_extremes)
    raise ValueError("give either weight_sparsity (share of non-zero weights) or sparsity (share of zero weights)")


def _checked_share(name: str, share: float, allow_extremes: bool) -> float:
    if not (0.0 < share < 1.0 or (allow_extremes and share in (0.0, 1.0))):
        limits = "from 0 to 1" if allow_extremes else "between 0 and 1, both excluded (allow_extremes includes them)"
        raise ValueError(f"{name} must be {limits}, not {share}")
    return share


def _random_zero_mask(weight: Tensor, density: float) -> Tensor:
    """Return a mask of ``weight``'s shape, True but for round(density·fan_in) random inputs of each output unit."""
    scores = torch.rand(weight.shape[0], weight[0].numel(), device=weight.device)
    live = scores.topk(round(density * scores.shape[1]), dim=1, sorted=False).indices
    zero_mask = torch.ones_like(scores, dtype=torch.bool).scatter_(1, live, False)
    return zero_mask.view(weight.shape)

"""A mask over a layer's weights that Hebbian learning moves: weights that fire together stay."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cl_sparse.layers.layer_mask import LayerMask

Rule = Literal["product", "contribution", "sign"]


class HebbMask(LayerMask):
    """A linear layer or convolution whose weights are masked by a permanence, which correlated activity moves.

    The layer computes with W·1[P > 0]. After each training pass the permanence P, from −1 to 1 and 1 at first, becomes
    clamp(P + lr·Δ, −1, 1), where Δ is for each weight the mean (or sum) over samples, and places of a convolution, of

    - "product": W·x·y, x being the weight's input and y its unit's output before any activation;
    - "contribution": sign(W·x·y): whether what the weight adds has its unit's sign;
    - "sign": sign(x·y): whether input and output have the same sign.

    sign(0) is 0, so an input of 0 leaves its weights' permanence alone. Behind a ReLU no input is negative: "sign" then
    asks whether the unit is above 0 while the input is active, whatever the weight; ``centred`` subtracts the batch's
    means of x and y first. A weight that is masked has no gradient, but a permanence that moves on, so that it may
    return. W is the weight without mask. In evaluation nothing moves.

    Args:
        module: ``nn.Linear``, or ``nn.Conv2d`` without groups and padded by zeros.
        names: of the weights to mask: ["weight"].
        lr: rate of the permanence.
        rule: what moves it.
        reduce: "mean" or "sum" over samples and places; a sum makes ``lr`` depend on the batch's size.
        centred: whether x and y are taken relative to the batch's means.
        density: share of the weights that stay, those with the highest permanence, in place of all those above 0; of
            equals, as all are at first, a random choice.
        generator: as :class:`LayerMask`.

    Attributes:
        module, order: as :class:`LayerMask`.
        permanence: P, in the weight's shape.

    Raises:
        TypeError: the module is of another kind.
        ValueError: a name is not that of its weight, or an argument is out of range.
    """

    permanence: Tensor

    def __init__(
        self,
        module: nn.Module,
        names: Sequence[str] = ("weight",),
        lr: float = 0.1,
        rule: Rule = "product",
        reduce: Literal["mean", "sum"] = "mean",
        centred: bool = False,
        density: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(module, names, density, generator)
        if rule not in ("product", "contribution", "sign") or reduce not in ("mean", "sum"):
            raise ValueError(f"rule must be product, contribution or sign, reduce mean or sum, not {rule} and {reduce}")
        if not lr >= 0:
            raise ValueError(f"lr must be at least 0, not {lr}")
        self.lr, self.rule, self.reduce, self.centred = lr, rule, reduce, centred
        self.register_buffer("permanence", torch.ones_like(module.get_parameter("weight"), requires_grad=False))

    def mask(self) -> Tensor:
        """Return which weights are in use, bool in the weight's shape."""
        return self.permanence > 0 if self.density is None else self._highest(self.permanence)

    @torch.no_grad()
    def after_pass(self, x: Tensor, y: Tensor) -> None:
        """Move the permanence, in numbers like its own, whatever the pass was in."""
        kind, dtype = x.device.type, self.permanence.dtype
        with torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext():
            self._move(*_rows(self.module, x.to(dtype), y.to(dtype)))

    def _move(self, inputs: Tensor, outputs: Tensor) -> None:
        if self.centred:
            inputs, outputs = inputs - inputs.mean(0), outputs - outputs.mean(0)
        weight = self._weight().flatten(1)
        if self.rule != "product":
            inputs, outputs, weight = inputs.sign(), outputs.sign(), weight.sign()
        moved = outputs.T @ inputs
        if self.rule != "sign":
            moved = moved * weight
        if self.reduce == "mean":
            moved = moved / max(1, len(inputs))
        self.permanence.add_(self.lr * moved.view_as(self.permanence)).clamp_(-1, 1)


def _rows(module: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return inputs and outputs as the weights meet them, (samples · places, inputs) and (samples · places, units)."""
    if isinstance(module, nn.Conv2d):
        padding: Any = module.padding
        patches = nn.functional.unfold(x, module.kernel_size, module.dilation, padding, module.stride)
        return patches.transpose(1, 2).flatten(0, 1), y.flatten(2).transpose(1, 2).flatten(0, 1)
    return x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])

"""A mask over a layer's weights that Hebbian learning moves: weights that fire together stay."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

Rule = Literal["product", "contribution", "sign"]


class HebbMask(nn.Module):
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
        density: share of the weights that stay, those with the highest permanence, in place of all those above 0.

    Attributes:
        module: the layer; its ``weight`` is W, without mask.
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
    ) -> None:
        super().__init__()
        _check(module, names)
        if rule not in ("product", "contribution", "sign") or reduce not in ("mean", "sum"):
            raise ValueError(f"rule must be product, contribution or sign, reduce mean or sum, not {rule} and {reduce}")
        if not lr >= 0 or not (density is None or 0 < density <= 1):
            raise ValueError(f"lr must be at least 0, density above 0 and at most 1, not {lr} and {density}")
        self.module, self.lr, self.rule, self.reduce, self.centred = module, lr, rule, reduce, centred
        self.density = density
        self.register_buffer("permanence", torch.ones_like(module.get_parameter("weight"), requires_grad=False))

    def mask(self) -> Tensor:
        """Return which weights are in use, bool in the weight's shape; of equals at a density those that come first."""
        if self.density is None:
            return self.permanence > 0
        flat = self.permanence.flatten()
        kept = flat.argsort(descending=True, stable=True)[: round(self.density * len(flat))]
        return torch.zeros_like(flat, dtype=torch.bool).index_fill_(0, kept, True).view_as(self.permanence)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer, then move the permanence, if training."""
        weight = self.module.get_parameter("weight") * self.mask()
        y: Tensor = functional_call(self.module, {"weight": weight}, (x,))
        if self.training:
            self._move(x.detach(), y.detach())
        return y

    def remove(self) -> nn.Module:
        """Return the layer, masked weights set to 0, which gives the same outputs; the permanence is 1 again."""
        with torch.no_grad():
            self.module.get_parameter("weight").mul_(self.mask())
            self.permanence.fill_(1.0)
        return self.module

    @torch.no_grad()
    def _move(self, x: Tensor, y: Tensor) -> None:
        inputs, outputs = _rows(self.module, x, y)
        if self.centred:
            inputs, outputs = inputs - inputs.mean(0), outputs - outputs.mean(0)
        weight = self.module.get_parameter("weight").flatten(1)
        if self.rule != "product":
            inputs, outputs, weight = inputs.sign(), outputs.sign(), weight.sign()
        moved = outputs.T @ inputs
        if self.rule != "sign":
            moved = moved * weight
        if self.reduce == "mean":
            moved = moved / max(1, len(inputs))
        self.permanence.add_(self.lr * moved.view_as(self.permanence)).clamp_(-1, 1)


def _check(module: nn.Module, names: Sequence[str]) -> None:
    if not isinstance(module, nn.Linear | nn.Conv2d):
        raise TypeError(f"HebbMask masks a Linear or a Conv2d, not a {type(module).__name__}")
    if list(names) != ["weight"]:
        raise ValueError(f"names: {list(names)}: what can be masked is ['weight']")
    if isinstance(module, nn.Conv2d) and (
        module.groups != 1 or module.padding_mode != "zeros" or isinstance(module.padding, str)
    ):
        raise ValueError("HebbMask: convolutions in groups, or padded otherwise than by zeros, are not known")


def _rows(module: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return inputs and outputs as the weights meet them, (samples · places, inputs) and (samples · places, units)."""
    if isinstance(module, nn.Conv2d):
        padding: Any = module.padding
        patches = nn.functional.unfold(x, module.kernel_size, module.dilation, padding, module.stride)
        return patches.transpose(1, 2).flatten(0, 1), y.flatten(2).transpose(1, 2).flatten(0, 1)
    return x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])

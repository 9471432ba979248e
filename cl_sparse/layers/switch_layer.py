"""A filter of any sign that switches a unit off for good when its sign changes."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from cl_sparse.layers.unit_filter import UnitFilter, sum_of_free


class SwitchLayer(UnitFilter):
    """y_i = β_i·x_i, at the cost Σ|β_i| (the switch layer of Leclerc et al. 2018, "Smallify").

    L1 drives β towards 0, where a gradient method jumps to and fro across it. So the sign is watched: after each step

        d = sign β − m,   v ← γ·v + (1 − γ)·d²,   m ← γ·m + (1 − γ)·sign β,

    from m = sign β and v = 0, and a unit with v > threshold is killed for good. (A steady sign that turns once, and
    stays, takes v to 1 before it falls again.) A penalty on the net's weights is required beside that on β: otherwise
    weights grow as β shrinks, and there is no minimum. β itself is not to decay.

    Args:
        n: number of units; of a convolution, channels.
        cost: of a unit; of a convolution's channel the area of its kernel.
        start: β is drawn from "normal" N(0, 1), as in the paper, or "uniform" U(−1, 1), as in its code; "one": β = 1,
            as units that come later.
        decay: γ, from 0 to below 1.
        threshold: of the sign's variance v, which is from 0 to 1.

    Raises:
        ValueError: an argument is out of range.
    """

    per_unit: ClassVar[dict[str, float]] = {"switch": 1.0, "sign_mean": 1.0, "sign_variance": 0.0, "killed": 0.0}
    sign_mean: Tensor
    sign_variance: Tensor
    killed: Tensor

    def __init__(
        self,
        n: int,
        cost: float = 1.0,
        start: Literal["normal", "uniform", "one"] = "normal",
        decay: float = 0.99,
        threshold: float = 0.5,
    ) -> None:
        super().__init__(n, cost)
        if start not in ("normal", "uniform", "one"):
            raise ValueError(f"SwitchLayer: start must be normal, uniform or one, not {start}")
        if not 0 <= decay < 1 or not threshold >= 0:
            raise ValueError(
                f"SwitchLayer: decay must be from 0 to below 1 and threshold at least 0, not {decay} and {threshold}"
            )
        self.decay, self.threshold = decay, threshold
        drawn = _drawn(n, start)
        self.switch = nn.Parameter(drawn)
        self.register_buffer("sign_mean", drawn.sign())
        self.register_buffer("sign_variance", torch.zeros(n))
        self.register_buffer("killed", torch.zeros(n, dtype=torch.bool))

    def factors(self) -> Tensor:
        """Return β, (n,), and 0 for units that were killed."""
        return self.switch.masked_fill(self.killed, 0.0)

    def penalty(self, exempt: Tensor | None = None) -> Tensor:
        """Return cost · Σ|β| of the units that live."""
        return self.cost * sum_of_free(self.factors().abs(), exempt)

    def dead(self) -> Tensor:
        """Return which units were killed, bool (n,)."""
        return self.killed.clone()

    @torch.no_grad()
    def watch_signs(self, held: Tensor | None = None) -> None:
        """Follow the signs of β, and kill. To be called once after each optimizer step.

        Args:
            held: bool (n,), units whose β the step could not move: they are left as they are.
        """
        sign, share = self.switch.sign(), torch.full_like(self.switch, 1 - self.decay)
        if held is not None:
            share.masked_fill_(held, 0.0)
        self.sign_variance.lerp_((sign - self.sign_mean).square(), share)
        self.sign_mean.lerp_(sign, share)
        killed = self.sign_variance > self.threshold
        self.killed |= killed if held is None else killed & ~held


def _drawn(n: int, start: str) -> Tensor:
    if start == "one":
        return torch.ones(n)
    return torch.randn(n) if start == "normal" else 2 * torch.rand(n) - 1

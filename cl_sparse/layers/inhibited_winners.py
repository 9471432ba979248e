"""Winners by inhibition: what a unit gives is what it has beyond the strongest loser."""

import torch
from torch import Tensor

from cl_sparse.layers.k_winners import KWinners


class InhibitedWinners(KWinners):
    """k-winners that give relu(x⁺ − s·i), i being the (k+1)-th largest x⁺ of the sample (Bricken et al. 2023).

    s is a unit's own. It rises from −1 to 1 while the unit is active in its first ``switch`` training samples: at first
    what inhibits later excites, so that every unit becomes active and learns something (their "GABA switch"). From
    s = 1 on k units win, fewer where some tie with i. No gradient goes through i.

    Args:
        n: number of units.
        percent_on: share of units that win in training, 0 to 1.
        k_inference_factor: factor on the number of winners in evaluation mode.
        switch: samples, above 0.

    Attributes:
        active: training samples in which each unit was active, (n,).

    Shapes: input and output (B, n).

    Raises:
        ValueError: a number is out of its range.
    """

    active: Tensor

    def __init__(self, n: int, percent_on: float, k_inference_factor: float = 1.0, switch: float = 10_000.0) -> None:
        super().__init__(n, percent_on, k_inference_factor, boost_strength=0.0)
        if not switch > 0:
            raise ValueError(f"switch must be above 0, not {switch}")
        self.switch = switch
        self.register_buffer("active", torch.zeros(n))

    def forward(self, x: Tensor, excluded: Tensor | None = None) -> Tensor:
        """Let the winners inhibit the others; in training, count who was active.

        Raises:
            ValueError: ``x`` is not of shape (B, n), or units are to be excluded, which inhibition cannot do.
        """
        if x.dim() != 2 or x.shape[1] != self.n:
            raise ValueError(f"InhibitedWinners: the input must be of shape (B, {self.n}), not {tuple(x.shape)}")
        if excluded is not None:
            raise ValueError("InhibitedWinners: no unit can be excluded")
        x = x.relu()
        out = x
        if self.k_now < self.n:
            strongest_loser = x.detach().topk(self.k_now + 1, dim=1, sorted=False).values.amin(1, keepdim=True)
            s = (2 * self.active / self.switch - 1).clamp(-1, 1).to(x.dtype)
            out = (x - s * strongest_loser).relu()
        if self.counts_now:
            self.active += (out.detach() > 0).sum(0)
            self.update_duty_cycle(out)
        return out

"""The nets that others would write: dense with ReLU, and k-winners as a mask from the k-th largest value."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class MaskedWinners(nn.Module):
    """k-winners as in nupic.torch: boosted values, a search for the k-th largest, a mask over all units.

    Args:
        n: units.
        k: winners.
        boost_strength: strength of boosting.
        period: samples that the duty cycle averages over.
    """

    duty_cycle: Tensor

    def __init__(self, n: int, k: int, boost_strength: float = 1.4, period: int = 1000) -> None:
        super().__init__()
        self.n, self.k, self.boost_strength, self.period, self.seen = n, k, boost_strength, period, 0
        self.register_buffer("duty_cycle", torch.zeros(n))

    def forward(self, x: Tensor) -> Tensor:
        boosted = x.detach() * torch.exp((self.k / self.n - self.duty_cycle) * self.boost_strength)
        threshold = boosted.kthvalue(self.n - self.k + 1, dim=1, keepdim=True).values
        out = torch.where(boosted < threshold, torch.zeros_like(x), x)
        self.seen += len(x)
        period = min(self.period, self.seen)
        self.duty_cycle.mul_(period - len(x)).add_(out.gt(0).sum(dim=0, dtype=torch.float)).div_(period)
        return out


def net(widths: list[int], winners: int | None, dropout: float) -> nn.Sequential:
    """Return [Linear → winners (None: ReLU) → Dropout] × n → Linear with these widths, the first being the inputs."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths[:-1]):
        act = nn.ReLU() if winners is None else MaskedWinners(n_out, winners)
        layers += [nn.Linear(n_in, n_out), act, nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

"""k-winners layer for feature maps."""

import math

import torch
from torch import Tensor

from cl_sparse.layers.functional import kwinners2d
from cl_sparse.layers.k_winners import KWinnersBase


class KWinners2d(KWinnersBase):
    """k-winners of a stack of feature maps (after a convolution).

    The winners are taken among all n = C·H·W units of a sample, or, if ``local``, among the C channels of each
    location. Of m units to choose among, k = round(m·percent_on) win in training, in evaluation mode
    round(m·percent_on·k_inference_factor). Boosting is by channel: the duty cycle of a channel is averaged over its
    locations.

    Args:
        channels: number of channels C.
        percent_on: share of units that win in training, 0 to 1.
        k_inference_factor: factor on the number of winners in evaluation mode.
        boost_strength: strength of boosting at the start; 0 is plain top-k.
        boost_strength_factor: factor on the boost strength at each :meth:`update_boost_strength`.
        duty_cycle_period: number of recent samples that the duty cycle averages over.
        local: winners among the channels of each location.
        break_ties: True for exactly k winners, False to let all units that tie with the k-th win too (never in
            16 bits, where ties are many).
        relu: drop winners that are not positive.
        inplace: may overwrite the input.

    Shapes: input and output (B, C, H, W); buffer ``duty_cycle`` (1, C, 1, 1). ``n`` and, unless ``local``, ``k`` are 0
    until the first input tells H and W; they follow when an input has others.
    """

    def __init__(
        self,
        channels: int,
        percent_on: float = 0.1,
        k_inference_factor: float = 1.5,
        boost_strength: float = 1.0,
        boost_strength_factor: float = 0.9,
        duty_cycle_period: int = 1000,
        local: bool = False,
        break_ties: bool = False,
        relu: bool = False,
        inplace: bool = False,
    ) -> None:
        super().__init__(percent_on, k_inference_factor, boost_strength, boost_strength_factor, duty_cycle_period)
        self.channels = channels
        self.local = local
        self.break_ties = break_ties
        self.relu = relu
        self.inplace = inplace
        self.resize(channels)
        self.register_buffer("duty_cycle", torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the winners; in training, update the duty cycle as well.

        Raises:
            ValueError: ``x`` is not of shape (B, C, H, W).
        """
        if x.dim() != 4 or x.shape[1] != self.channels:
            raise ValueError(f"KWinners2d: the input must be of shape (B, {self.channels}, H, W), not {tuple(x.shape)}")
        units = math.prod(x.shape[1:])
        if units != self.n:
            self._count_units(units)
        k = self.k_now
        out = kwinners2d(
            x, self.duty_cycle, k, self.boost_strength, self.local, self._breaks_ties(x), self.relu, self.inplace
        )
        if self.counts_now:
            self.update_duty_cycle(out)
        return out

    def entropy(self) -> Tensor:
        """Return the binary entropy of the channels' duty cycles, summed over the n units, in bits."""
        return super().entropy() * self.n / self.channels

    def resize(self, width: int) -> None:
        """See the base class; units are counted at the next input."""
        self.channels, self.n = width, 0
        if self.local:
            self.k, self.k_inference = self._winners_among(width)

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return f"channels={self.channels}, local={self.local}, {super().extra_repr()}"

    def _count_units(self, n: int) -> None:
        self._set_units(n, *self._winners_among(self.channels if self.local else n))

    def _winners_among(self, units: int) -> tuple[int, int]:
        """Return how many of ``units`` win in training and in evaluation mode."""
        k_inference = round(units * self.percent_on * self.k_inference_factor)
        return round(units * self.percent_on), min(k_inference, units)

    def _on_rate(self, x: Tensor) -> Tensor:
        # Locations before samples: one reduction over all three dimensions is several times slower on a CPU.
        on = (x > 0).to(self.duty_cycle.dtype)
        return on.mean(dim=(2, 3)).mean(dim=0).view_as(self.duty_cycle)

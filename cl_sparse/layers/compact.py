"""k-winners and dropout that pass on :class:`Winners` in place of dense tensors."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from cl_sparse.layers.k_winners import KWinners
from cl_sparse.layers.pre_activations import PreActivations
from cl_sparse.layers.winners import Winners


class CompactKWinners(KWinners):
    """:class:`KWinners` that gives :class:`Winners` for the :class:`PreActivations` of the linear layer before it.

    Winners, duty cycle and gradients are those of :class:`KWinners`, behind a :class:`WinnerLinear` as behind a
    :class:`SparseWinnerLinear`. Without ``break_ties`` all units that tie with the k-th win; with it exactly k, of
    those that tie the ones of lowest index. Where there are ties, all pre-activations (B, n) are computed and ranked,
    but not with ``break_ties`` behind sparse weights. A dense tensor gives a dense tensor.
    """

    @classmethod
    def of(cls, layer: KWinners) -> Self:
        """Return a layer with the settings of ``layer``, in the state of a new one."""
        return cls(
            layer.n,
            layer.percent_on,
            k_inference_factor=layer.k_inference_factor,
            boost_strength=float(layer.boost_strength),
            boost_strength_factor=layer.boost_strength_factor,
            duty_cycle_period=layer.duty_cycle_period,
            break_ties=layer.break_ties,
            relu=layer.relu,
            inplace=layer.inplace,
        )

    def forward(self, x: Any, excluded: Tensor | None = None) -> Any:
        """Keep the winners of each sample; in training, update the duty cycle as well.

        Args:
            x: pre-activations, or dense (B, n).
            excluded: as for :class:`KWinners`; all pre-activations (B, n) are then computed and ranked.
        """
        if not isinstance(x, PreActivations):
            return super().forward(x, excluded)
        k = self.k_now
        # The same numbers as functional.boosted makes, so that near ties fall alike.
        factor = torch.exp(-self.boost_strength * self.duty_cycle)
        winners, on_rate = x.winners(k, factor, self.break_ties, excluded)
        if self.relu:
            on = torch.where(winners.values > 0, winners.indices, -1)
            winners = Winners(on, winners.values.relu(), self.n)
        if self.counts_now and len(x):
            self._move_duty_cycle(on_rate, len(x))
        return winners


class CompactDropout(nn.Dropout):
    """Dropout of :class:`Winners`: each one is dropped with probability p, the others are scaled by 1/(1 − p).

    As for a dense tensor, whose other entries are 0 either way, but random numbers are drawn for the winners only.
    """

    def forward(self, x: Any) -> Any:
        """Drop winners in training; a dense tensor is treated as by ``nn.Dropout``."""
        if not isinstance(x, Winners):
            return super().forward(x)
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(x.values.shape, dtype=x.values.dtype) >= self.p
        return Winners(torch.where(kept, x.indices, -1), x.values * (kept / (1 - self.p)), x.n)

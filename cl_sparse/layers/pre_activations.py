"""What a linear layer hands to k-winners when only what wins is worth computing, and the rule that decides who wins."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from cl_sparse.layers.winners import Winners

Best = tuple[Tensor, Tensor, Tensor]
"""Winners (B, k), their pre-activations (B, k), the share of samples (n,) that each unit is a positive winner of."""


class PreActivations(ABC):
    """The pre-activations (B, n) of a linear layer, not computed yet: only k-winners know which of them are needed.

    Both layers that make them, of dense and of sparse weights, follow one rule, that of :func:`kwinners`: the k units
    with the largest pre-activation · factor win, and with them, unless ``break_ties``, all that tie with the k-th. With
    ``break_ties`` exactly k win; of those that tie, the ones of lowest index. What is not a number passes on, so that a
    net that has diverged does not look healthy.
    """

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """(B, n), n the units of the layer."""

    @abstractmethod
    def dense(self) -> Tensor:
        """Return all of them (B, n), without gradient."""

    @abstractmethod
    def search(self, k: int, factor: Tensor, break_ties: bool) -> Best | None:
        """Return the k best without writing all pre-activations down, or None where that is not enough.

        It is not if others tie with the k-th, or something is not finite. A search that knows which of those that tie
        come first may return them if ``break_ties``. The tensors have no gradient.
        """

    @abstractmethod
    def with_gradient(self, indices: Tensor, values: Tensor) -> Tensor:
        """Return the pre-activations ``values`` of the units ``indices`` (B, m; -1 stands for none), with gradient."""

    def __len__(self) -> int:
        return self.shape[0]

    def winners(
        self, k: int, factor: Tensor, break_ties: bool = False, excluded: Tensor | None = None
    ) -> tuple[Winners, Tensor]:
        """Return the winners, and the share of the samples (n,) that each unit is a positive winner of.

        If there are ties or a NaN, and whenever units are excluded, all pre-activations (B, n) are computed and ranked.

        Args:
            k: number of winners.
            factor: (n,) what to multiply by before ranking.
            break_ties: see above.
            excluded: bool (n,) or (B, n), the units that cannot win. If fewer than k others are left, fewer win.
        """
        found = self.search(k, factor, break_ties) if excluded is None else None
        indices, values, on_rate = found or self._among_all(k, factor, break_ties, excluded)
        return Winners(indices, self.with_gradient(indices, values), self.shape[1]), on_rate

    def _among_all(self, k: int, factor: Tensor, break_ties: bool, excluded: Tensor | None) -> Best:
        z = self.dense()
        indices = winning_units(z * factor, k, break_ties, excluded)
        values = z.gather(1, indices.clamp(min=0)).masked_fill_(indices < 0, 0)
        counts = Winners(indices, values, self.shape[1]).on_counts()
        return indices, values, counts.to(factor.dtype) / max(1, len(self))


def winning_units(ranking: Tensor, k: int, break_ties: bool, excluded: Tensor | None = None) -> Tensor:
    """Return the units (B, m) that win by a ranking (B, n), as :class:`PreActivations` says; -1 fills up."""
    if excluded is not None:
        ranking = ranking.masked_fill(excluded, -torch.inf)
    if break_ties:
        indices = ranking.sort(dim=1, descending=True, stable=True).indices[:, :k]
    else:
        indices = _with_ties(ranking, k, excluded)
    if excluded is None:
        return indices
    out = excluded.expand_as(ranking).gather(1, indices.clamp(min=0))
    return indices.masked_fill(out, -1)


def _with_ties(ranking: Tensor, k: int, excluded: Tensor | None) -> Tensor:
    best = ranking.topk(k, dim=1)
    if not 0 < k < ranking.shape[1] or not len(ranking):
        return best.indices
    # Phrased so that a NaN wins.
    on = ~(ranking < best.values[:, k - 1 :])
    if excluded is not None:
        on &= ~excluded
    most = int(on.sum(1).max())
    indices = on.int().topk(most, dim=1).indices
    return torch.where(on.gather(1, indices), indices, -1)

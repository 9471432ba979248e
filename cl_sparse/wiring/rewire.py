"""Dropping and growing synapses of a layer that stores the live ones only."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cl_sparse.wiring.places import Wiring, wiring_of


@dataclass(frozen=True)
class Rewired:
    """What became of the synapses of a layer.

    Attributes:
        old: (nnz after,) long, the position that each synapse had before, or -1 if it is new.
        grown: (nnz after,) long, its number among the grown ones, or -1 if it is old.
    """

    old: Tensor
    grown: Tensor

    def carry(self, numbers: Tensor, fresh: Tensor | float = 0.0) -> Tensor:
        """Return numbers per synapse in the new order.

        Args:
            numbers: (nnz before,), such as weights, momenta or importances.
            fresh: what the grown synapses get, one number or (grown,).
        """
        is_new = self.old < 0
        carried = numbers.new_empty(self.old.shape)
        carried[~is_new] = numbers[self.old[~is_new]]
        carried[is_new] = fresh[self.grown[is_new]] if isinstance(fresh, Tensor) else fresh
        return carried


def rewired(
    wiring: Wiring, shape: tuple[int, int], drop: Tensor, majors: Tensor, minors: Tensor
) -> tuple[Wiring, Rewired]:
    """Return the wiring without the synapses ``drop`` and with those from ``majors`` to ``minors``.

    Raises:
        ValueError: a position is out of range or given twice, a place is out of range or already taken.
    """
    nnz = len(wiring.minors)
    drop = drop.to(wiring.minors.device).long()
    if drop.numel() and not 0 <= int(drop.min()) <= int(drop.max()) < nnz:
        raise ValueError(f"drop: positions go from 0 to {nnz - 1}, not from {int(drop.min())} to {int(drop.max())}")
    stays = torch.ones(nnz, dtype=torch.bool, device=drop.device).index_fill_(0, drop, False)
    if nnz - int(stays.sum()) != len(drop):
        raise ValueError("drop: a synapse is there twice")
    kept = stays.nonzero().flatten()
    majors, minors = majors.to(drop).flatten(), minors.to(drop).flatten()
    after, order = wiring_of(
        torch.cat([wiring.majors()[kept], majors]), torch.cat([wiring.minors[kept].long(), minors]), shape
    )
    nothing_old, nothing_new = kept.new_full(majors.shape, -1), kept.new_full(kept.shape, -1)
    numbers = torch.arange(len(majors), device=drop.device)
    return after, Rewired(torch.cat([kept, nothing_old])[order], torch.cat([nothing_new, numbers])[order])

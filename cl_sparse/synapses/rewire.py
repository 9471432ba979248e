"""Dropping and growing synapses of one layer, whatever stores them. The ledger lets everything else follow."""

import torch
from torch import Tensor

from cl_sparse.layers import SparseWeightsBase
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.synapses.synapses import Synapses
from cl_sparse.wiring.moved import Moved, Swapped, index_of

Places = tuple[Tensor, Tensor]
"""Unit and input of each of some synapses, long (n,) each."""


@torch.no_grad()
def rewire(synapses: Synapses, drop: Tensor, grow: Places, values: Tensor | None = None) -> Moved:
    """Drop and grow synapses in place; the parameter stays the same object, its gradient is forgotten.

    Args:
        synapses: of a layer that is masked, or stores its live synapses.
        drop: long (d,), positions in the order of ``synapses.places()``.
        grow: unit and input of each new synapse, long (g,) each. A place that ``drop`` frees may be taken.
        values: weights of the new synapses (g,); default 0.

    Raises:
        ValueError: a position or place is out of range, given twice, or already taken; or the layer is dense, where
            no place is free.
    """
    if isinstance(synapses.module, SparseLinear):
        return synapses.module.rewire(drop, grow, values)
    if isinstance(synapses.module, SparseWeightsBase):
        return _rewire_masked(synapses, synapses.module, drop, grow, values)
    raise ValueError(
        f"{synapses.layer}: a {type(synapses.module).__name__} has all its synapses, always: to rewire it, wrap it in "
        "SparseWeights or store it as a SparseLinear"
    )


def _rewire_masked(
    synapses: Synapses, module: SparseWeightsBase, drop: Tensor, grow: Places, values: Tensor | None
) -> Swapped:
    weight, mask = synapses.parameter, module.zero_mask
    units, inputs = synapses.places()
    drop = drop.to(units)
    _check_positions(drop, len(units))
    dropped, grown = (units[drop], inputs[drop]), (grow[0].to(units).flatten(), grow[1].to(units).flatten())
    live = ~mask.flatten(1).bool()
    live[dropped] = False
    _check_places(grown, live)
    fresh = weight.new_zeros(len(grown[0])) if values is None else values.to(weight)
    if fresh.shape != grown[0].shape:
        raise ValueError(f"values must be {tuple(grown[0].shape)}, not {tuple(fresh.shape)}")
    gone, new = index_of(*dropped, weight.shape), index_of(*grown, weight.shape)
    mask[gone], mask[new] = True, False
    weight[gone], weight[new] = 0.0, fresh
    weight.grad = None
    return Swapped(dropped, grown)


def _check_positions(drop: Tensor, n_live: int) -> None:
    if drop.numel() and not 0 <= int(drop.min()) <= int(drop.max()) < n_live:
        raise ValueError(f"drop: positions go from 0 to {n_live - 1}, not from {int(drop.min())} to {int(drop.max())}")
    if drop.numel() and int(torch.bincount(drop).max()) > 1:
        raise ValueError("drop: a synapse is there twice")


def _check_places(grown: Places, live: Tensor) -> None:
    for ids, size in zip(grown, live.shape, strict=True):
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < size:
            raise ValueError(f"an index is from {int(ids.min())} to {int(ids.max())}, not from 0 to {size - 1}")
    if bool((live.int().index_put_(grown, grown[0].new_ones(()).int(), accumulate=True) > 1).any()):
        raise ValueError("a synapse is there twice")

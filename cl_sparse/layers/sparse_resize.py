"""Removing and adding units or inputs of a layer that stores its live synapses only."""

import torch
from torch import Tensor

from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.wiring.moved import Resized, replace_data
from cl_sparse.wiring.places import wiring_of
from cl_sparse.wiring.rewire import Rewired


@torch.no_grad()
def resize_live(layer: SparseLinear, change: Resized, grow: tuple[Tensor, Tensor], values: Tensor) -> Rewired:
    """Remove and add units (axis 0) or inputs (axis 1) of ``layer``, in place; its bias is left alone.

    Args:
        layer: ``values`` stays the same Parameter object.
        change: which units or inputs stay, and how many come.
        grow: unit and input of each new synapse, long (g,) each, counted as after the change.
        values: their weights (g,).

    Returns:
        Which old synapse each new one was.
    """
    ends = list(layer.indices)
    size = layer.out_features if change.axis == 0 else layer.in_features
    place = torch.full((size,), -1, device=ends[0].device)
    place[change.kept] = torch.arange(len(change.kept), device=ends[0].device)
    ends[change.axis] = place[ends[change.axis]]
    stays = (ends[change.axis] >= 0).nonzero().flatten()
    if change.axis == 0:
        layer.out_features = len(change.kept) + change.added
    else:
        layer.in_features = len(change.kept) + change.added
    units, inputs = (torch.cat([end[stays], new.to(end)]) for end, new in zip(ends, grow, strict=True))
    axes = layer.axes()
    majors, minors = (units, inputs) if layer.inputs == "any" else (inputs, units)
    wiring, order = wiring_of(majors, minors, axes)
    n_new = len(grow[0])
    old = torch.cat([stays, stays.new_full((n_new,), -1)])[order]
    grown = torch.cat([torch.full_like(stays, -1), torch.arange(n_new, device=stays.device)])[order]
    moved = Rewired(old, grown)
    replace_data(layer.values, moved.carry(layer.values.detach(), values.to(layer.values)))
    layer.set_wiring(wiring)
    return moved

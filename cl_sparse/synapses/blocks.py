"""Blocks of units that a net has gained, and training nothing but them."""

import torch
from torch import Tensor, nn

from cl_sparse.layers.consumers import per_unit
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.resize import weight_shape


def widths(ledger: Ledger) -> dict[str, int]:
    """Return the number of units of each hidden layer, by name."""
    return {layer: weight_shape(ledger.model.get_submodule(layer))[0] for layer in ledger.consumers()}


def check_growable(ledger: Ledger) -> None:
    """Raise if there is no layer that can be given units."""
    if not ledger.consumers():
        raise ValueError("there is no hidden layer of which it is known who reads its units")


def append_block(ledger: Ledger, units: int) -> None:
    """Append units to each hidden layer.

    What reads them starts at 0 and their filters at 1: without k-winners the outputs are those of before.
    """
    for layer, width in widths(ledger).items():
        ledger.resize(layer, torch.arange(width), add=units)


def remove_block(ledger: Ledger, start: dict[str, int]) -> None:
    """Remove the units from ``start`` on of each hidden layer."""
    for layer, width in start.items():
        ledger.resize(layer, torch.arange(width))


def only_from(ledger: Ledger, start: dict[str, int]) -> dict[str, Tensor | float]:
    """Return factors on updates that let hidden layers change only their units from ``start`` on.

    A unit that may not change keeps its bias, filter and normalisation, and all it reads: of new units nothing, for it
    meets them with weights of 0. So what it computes stays the same. Output layers are free.

    Args:
        ledger: owns the net.
        start: by hidden layer, its first unit that may change.

    Returns:
        by the parameter's name.
    """
    scale: dict[str, Tensor | float] = {}
    consumers = ledger.consumers()
    for found in ledger.synapses.values():
        if found.layer not in start:
            continue
        free = torch.arange(found.shape[0], device=found.parameter.device) >= start[found.layer]
        factors = torch.ones_like(found.parameter, requires_grad=False)
        units, _ = found.places()
        found.set_live(factors, free[units].to(factors))
        scale[found.name] = factors
        if found.bias is not None:
            scale[found.bias] = free.to(factors)
        for name in consumers[found.layer].per_unit:
            module = ledger.model.get_submodule(name)
            own = [key for key in per_unit(module) or {} if isinstance(getattr(module, key), nn.Parameter)]
            scale |= {f"{name}.{key}": free.to(factors) for key in own}
    return scale

"""Who is affected when a layer loses or gains units."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from cl_sparse.layers.k_winners import KWinnersBase
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_weights import SparseWeightsBase

WEIGHT_LAYERS = (nn.Linear, nn.Conv2d, SparseLinear, SparseWeightsBase)
"""Layers with units that read other units."""
PER_UNIT = (KWinnersBase, nn.BatchNorm1d, nn.BatchNorm2d)
"""Layers that hold a number for each unit they pass on."""


@dataclass(frozen=True)
class Consumers:
    """Who is affected when a layer loses or gains units.

    Attributes:
        per_unit: names of the modules that hold something for each unit: k-winners, batch normalisation.
        readers: names of the layers whose inputs the units are. Behind ``Flatten`` a unit, a channel, is several.
    """

    per_unit: tuple[str, ...]
    readers: tuple[str, ...]


def consumers_of(steps: Iterable[tuple[str, nn.Module]], readers: Sequence[str] = ()) -> dict[str, Consumers]:
    """Return, for each weight layer of a chain of modules, who consumes its units.

    Args:
        steps: name and module, each applied to the output of the one before.
        readers: names of the layers that read the chain's output.

    Returns:
        by name of the layer. Without ``readers`` the last weight layer's units are the chain's output: it is left out.
    """
    found: dict[str, Consumers] = {}
    layer, per_unit = None, list[str]()
    for name, module in steps:
        if isinstance(module, WEIGHT_LAYERS):
            if layer is not None:
                found[layer] = Consumers(tuple(per_unit), (name,))
            layer, per_unit = name, []
        elif isinstance(module, PER_UNIT):
            per_unit.append(name)
    if layer is not None and readers:
        found[layer] = Consumers(tuple(per_unit), tuple(readers))
    return found

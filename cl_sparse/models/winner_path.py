"""Choosing, for an MLP, between masks over dense arithmetic and layers that compute only what wins."""

from typing import Literal

from torch import nn

from cl_sparse.layers import ActiveLinear, CompactDropout, CompactKWinners, KWinners, WinnerLinear
from cl_sparse.models.heads import Head

Compute = Literal["auto", "reference", "winners"]
"""How to compute k-winners: as masks over dense layers, only what wins, or whichever is faster."""

# Up to this share of winners computing only what wins is faster, from 256 units (`python -m perf crossover`). The first
# run on a machine compiles the loops, though, for about 25 s, which narrow nets take long to make up for.
MOST_WINNERS = 0.1
FEWEST_UNITS = 2000


def uses_winners(features: nn.Sequential, compute: Compute) -> bool:
    """Return whether a net with these features is to compute only what wins.

    Args:
        features: [Linear → KWinners → Dropout] × n, with anything before the first of the Linears.
        compute: what the user wants.

    Raises:
        ValueError: ``compute`` is "winners" and the net has other layers.
    """
    if compute == "reference":
        return False
    layers = [module for module in features if not isinstance(module, nn.Flatten | nn.Dropout)]
    pairs = list(zip(layers[::2], layers[1::2], strict=False))
    fits = bool(pairs) and all(isinstance(a, nn.Linear) and isinstance(b, KWinners) for a, b in pairs)
    if compute == "winners":
        if not fits:
            raise ValueError(
                "compute: winners needs hidden layers, all with k-winners (sparsify, percent_on_fc below 1) and dense "
                "weights (weight_sparsity_fc 1): choose auto"
            )
        return True
    return fits and all(
        isinstance(layer, KWinners) and layer.n >= FEWEST_UNITS and layer.k <= MOST_WINNERS * layer.n
        for layer in layers[1::2]
    )


def compute_winners(features: nn.Sequential, head: Head) -> None:
    """Replace, in place, the layers by such as compute only what wins; weights, names and settings stay."""
    for name, module in features.named_children():
        if isinstance(module, nn.Linear):
            setattr(features, name, WinnerLinear.of(module))
        elif isinstance(module, KWinners):
            setattr(features, name, CompactKWinners.of(module))
        elif isinstance(module, nn.Dropout):
            setattr(features, name, CompactDropout(module.p))
    for module in list(head.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, ActiveLinear.of(child))

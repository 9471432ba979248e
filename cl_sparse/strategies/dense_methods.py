"""Which of Avalanche's methods need all weights and gradients, and what that means for nets that compute what wins."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.training.plugins import (
    AGEMPlugin,
    CWRStarPlugin,
    EWCPlugin,
    GEMPlugin,
    GSS_greedyPlugin,
    MASPlugin,
    MIRPlugin,
    RWalkPlugin,
    SynapticIntelligencePlugin,
)

from cl_sparse.layers.active_linear import InputMajorWeight
from cl_sparse.synapses import LazySGD

# They read or change weights or gradients between steps.
DENSE_METHODS = (
    AGEMPlugin,
    CWRStarPlugin,
    EWCPlugin,
    GEMPlugin,
    GSS_greedyPlugin,
    MASPlugin,
    MIRPlugin,
    RWalkPlugin,
    SynapticIntelligencePlugin,
)
# They take a gradient for a vector in the order of its memory, which is another one in layers that compute what wins.
_FLATTENING = (AGEMPlugin, GSS_greedyPlugin)


def check_dense_methods(model: nn.Module, optimizer: torch.optim.Optimizer, plugins: Iterable[Any]) -> None:
    """Refuse methods of Avalanche's that would fail, or quietly see late weights, where only what wins is computed.

    Args:
        model: the net.
        optimizer: its optimizer.
        plugins: those of a strategy, ours or not.

    Raises:
        ValueError: there is such a method.
    """
    lazily = isinstance(optimizer, LazySGD) and any(isinstance(p, InputMajorWeight) for p in model.parameters())
    for plugin in plugins:
        name = type(plugin).__name__
        if lazily and isinstance(plugin, DENSE_METHODS):
            raise ValueError(
                f"{name} needs the weights and gradients of all units at every step, which LazySGD puts off: "
                'build the net with compute="reference", and use torch.optim.SGD'
            )
        if isinstance(plugin, _FLATTENING) and any(isinstance(p, InputMajorWeight) for p in model.parameters()):
            raise ValueError(
                f"{name} cannot flatten the gradients of layers that compute only what wins: "
                'build the net with compute="reference"'
            )

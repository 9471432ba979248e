"""Forward passes that watch a net and leave no trace in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from cl_sparse.layers import KWinnersBase


@contextmanager
def observing(model: nn.Module) -> Iterator[nn.Module]:
    """Let forward passes leave a net as it is: for Fisher information, importances, projections, probes.

    No duty cycle moves and no batch statistics; nothing is dropped; k-winners let as many units win as in training, and
    rank them by the duty cycles as they are. Gradients flow as usual. Afterwards every module is in its mode of before.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    layers = [module for module in model.modules() if isinstance(module, KWinnersBase)]
    observed = [layer.observed for layer in layers]
    for layer in layers:
        layer.observed = True
    try:
        yield model
    finally:
        for layer, before in zip(layers, observed, strict=True):
            layer.observed = before
        for module, training in modes.items():
            module.training = training

"""Keeps zeroed weights at zero while any optimizer steps."""

from typing import Any

from cl_sparse.layers.sparse_weights import SparseWeightsBase
from cl_sparse.plugins.base import Plugin


class RezeroWeights(Plugin):
    """Re-apply every sparse layer's zero mask after each optimizer step.

    Without it momentum, weight decay or Adam fill the masked positions and the layer silently becomes dense.
    """

    def __init__(self) -> None:
        """Start with no layer known."""
        super().__init__()
        self._layers: list[SparseWeightsBase] = []

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Find the sparse layers: walking through a net takes longer than some nets' layers do."""
        self._layers = [module for module in strategy.model.modules() if isinstance(module, SparseWeightsBase)]

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        """Zero the masked weights."""
        for layer in self._layers:
            layer.rezero_weights()

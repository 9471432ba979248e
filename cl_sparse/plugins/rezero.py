"""Keeps zeroed weights at zero while any optimizer steps."""

from typing import Any

from cl_sparse.layers import rezero_weights
from cl_sparse.plugins.base import Plugin


class RezeroWeights(Plugin):
    """Re-apply every sparse layer's zero mask after each optimizer step.

    Without it momentum, weight decay or Adam fill the masked positions and the layer silently becomes dense.
    """

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        """Zero the masked weights of the whole model."""
        rezero_weights(strategy.model)

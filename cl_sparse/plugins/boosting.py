"""Lets the k-winner layers' boosting fade over the epochs."""

from typing import Any

from cl_sparse.layers import KWinnersBase, update_boost_strength
from cl_sparse.plugins.base import Plugin


class DecayBoostStrength(Plugin):
    """Multiply each k-winner layer's boost strength by its factor after every epoch it was trained in.

    A layer that saw no training sample in the epoch (another task's net, say) keeps its strength.
    """

    def __init__(self) -> None:
        """Start with no epoch under way."""
        super().__init__()
        self._iterations: dict[KWinnersBase, int] = {}

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Note how many samples each layer has learned from."""
        layers = (m for m in strategy.model.modules() if isinstance(m, KWinnersBase))
        self._iterations = {layer: layer.learning_iterations for layer in layers}

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Decay the strength of the layers that learned."""
        for layer, before in self._iterations.items():
            if layer.learning_iterations > before:
                update_boost_strength(layer)

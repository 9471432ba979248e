"""Tells nets of which one is chosen by the nearest mean input what is being trained, and what its inputs are."""

from typing import Any

from cl_sparse.models import InferredNets
from cl_sparse.plugins.base import Plugin
from cl_sparse.plugins.batches import Batches


class ContextMeans(Plugin):
    """Train each task's own net of ``InferredNets``, and keep the mean of its training inputs.

    Raises:
        TypeError: at the first task, if the strategy's model is of another kind.
    """

    uses_task_boundaries = True
    looks_at_weights = False

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Choose the net to train."""
        if not isinstance(strategy.model, InferredNets):
            raise TypeError("ContextMeans: the model has to be InferredNets")
        strategy.model.training_task = strategy.experience.current_experience

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Keep the task's mean input."""
        for x, *_ in Batches(strategy):
            strategy.model.see(x, strategy.experience.current_experience)

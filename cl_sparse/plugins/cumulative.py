"""Trains on everything seen so far: the upper baseline."""

from typing import Any

from cl_sparse.plugins.base import Plugin


class Cumulative(Plugin):
    """Train on the union of the current and all earlier tasks' training sets.

    The data path stays the same: a union is a longer list of sample indices. No sample is oversampled.
    """

    uses_task_boundaries = True
    looks_at_weights = False

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Put the earlier tasks' data in front of the current task's."""
        earlier = strategy.experience.origin_stream[: strategy.experience.current_experience]
        for experience in earlier:
            strategy.adapted_dataset = strategy.adapted_dataset.concat(experience.dataset)

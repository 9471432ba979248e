"""Trains on the stream up to here at once, whatever was trained on before."""

from typing import Any

from cl_sparse.plugins.base import Plugin


class Joint(Plugin):
    """Train on the union of the training data of this experience and of all those before it in its stream.

    For a learner that trains once, when the last task has come. No sample is oversampled.
    """

    uses_task_boundaries = True
    looks_at_weights = False

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Add the data of the experiences before this one."""
        for experience in strategy.experience.origin_stream[: strategy.experience.current_experience]:
            strategy.adapted_dataset = strategy.adapted_dataset.concat(experience.dataset)

"""Trains on everything trained on so far: the upper baseline."""

from typing import Any

from cl_sparse.plugins.base import Plugin


class Cumulative(Plugin):
    """Train on the union of the training data of this experience and of all those trained on before.

    Works on any Avalanche stream, in any order; an experience trained on again counts once. No sample is oversampled.
    On the streams of :mod:`benchmarks` the data path stays the same: a union is a longer list of sample indices.
    """

    uses_task_boundaries = True
    looks_at_weights = False

    def __init__(self) -> None:
        """Nothing is trained on yet."""
        super().__init__()
        self._trained: list[Any] = []  # data sets
        self._places: list[int] | None = []  # of the same experiences in their stream; None: they are not known

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Add the earlier experiences' data to the current one's."""
        if self._places is None:  # a checkpoint from before they were in it: the runner trains in order
            self._places = list(range(strategy.clock.train_exp_counter))
        if len(self._trained) < len(self._places):
            stream = strategy.experience.origin_stream
            self._trained = [stream[place].dataset for place in self._places]
        for dataset in self._trained:
            if dataset is not strategy.experience.dataset:
                strategy.adapted_dataset = strategy.adapted_dataset.concat(dataset.train())

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Remember the data trained on."""
        assert self._places is not None
        if not any(dataset is strategy.experience.dataset for dataset in self._trained):
            self._trained.append(strategy.experience.dataset)
            self._places.append(strategy.experience.current_experience)

    def state_dict(self) -> dict[str, Any]:
        """Return the places in the stream of the experiences trained on."""
        return {"trained": self._places}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them; their data are looked up in the stream that is trained on next."""
        self._places, self._trained = state.get("trained"), []

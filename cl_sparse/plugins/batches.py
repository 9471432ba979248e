"""The data that a strategy has just trained on, once more."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from cl_sparse.data import BatchLoader, served


class Batches:
    """The training data of a strategy's experience once more, in order, on its device.

    Args:
        strategy: trains.
        held_out: the data that the experience's benchmark holds out of it instead: none, without a ``val_stream``.
    """

    def __init__(self, strategy: Any, held_out: bool = False) -> None:
        self.strategy, self.held_out = strategy, held_out

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        strategy, dataset = self.strategy, self._dataset()
        if dataset is None:
            return
        for batch in _loader(dataset, strategy.train_mb_size):
            yield tuple(part.to(strategy.device) for part in batch)

    def _dataset(self) -> Any:
        experience = self.strategy.experience
        if not self.held_out:
            return experience.dataset
        stream = getattr(getattr(experience, "benchmark", None), "val_stream", None)
        return None if stream is None else stream[experience.current_experience].dataset


def _loader(dataset: Any, size: int) -> Any:
    source = served(dataset)
    if source is not None:
        return BatchLoader(*source, size, None)
    return DataLoader(dataset.eval(), batch_size=size, collate_fn=dataset.collate_fn)

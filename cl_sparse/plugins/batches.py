"""The data that a strategy has just trained on, once more."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from cl_sparse.data import BatchLoader, served


class Batches:
    """The training data of a strategy's experience once more, in order, on its device."""

    def __init__(self, strategy: Any) -> None:
        self.strategy = strategy

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        strategy, dataset = self.strategy, self.strategy.experience.dataset
        for batch in _loader(dataset, strategy.train_mb_size):
            yield tuple(part.to(strategy.device) for part in batch)


def _loader(dataset: Any, size: int) -> Any:
    source = served(dataset)
    if source is not None:
        return BatchLoader(*source, size, None)
    return DataLoader(dataset.eval(), batch_size=size, collate_fn=dataset.collate_fn)

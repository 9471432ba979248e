"""The data that a strategy has just trained on, once more."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from cl_sparse.data import BatchLoader, ids, stream_of
from cl_sparse.data.task_data import TaskData


class Batches:
    """The training data of a strategy's experience once more, in order, on its device."""

    def __init__(self, strategy: Any) -> None:
        self.strategy = strategy

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        strategy, dataset = self.strategy, self.strategy.experience.dataset
        for batch in _loader(dataset, strategy.train_mb_size):
            yield tuple(part.to(strategy.device) for part in batch)


def _loader(dataset: Any, size: int) -> Any:
    if _is_ours(dataset):
        return BatchLoader(stream_of(dataset), ids(dataset), size, None)
    return DataLoader(dataset.eval(), batch_size=size, collate_fn=dataset.collate_fn)


def _is_ours(dataset: Any) -> bool:
    leaves = [dataset]
    while leaves and not isinstance(leaves[0], TaskData):
        leaves = getattr(getattr(leaves[0], "_flat_data", leaves[0]), "_datasets", [])
    return bool(leaves)

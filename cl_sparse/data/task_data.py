"""The leaves below all Avalanche data sets made here: one task of a stream each."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from cl_sparse.data.stream import TaskStream


class Fetched(Sequence[list[Any]]):
    """The samples of a mini-batch that was fetched as a whole; each is [x, y, t], like a sample fetched alone.

    Args:
        batch: x (B, ...), y (B,) and t (B,).
    """

    def __init__(self, batch: list[Tensor]) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch[1])

    def __iter__(self) -> Iterator[list[Any]]:
        x, y, t = self.batch
        return map(list, zip(x.unbind(), y.tolist(), t.tolist(), strict=True))

    @overload
    def __getitem__(self, index: int) -> list[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[Any]]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return list(self)[index]


def collate(samples: Sequence[Any]) -> Any:
    """Return samples as a mini-batch: as torch's ``default_collate``, at once if they were fetched as a whole."""
    return samples.batch if isinstance(samples, Fetched) else default_collate(list(samples))


class TaskData(Dataset[tuple[Tensor, float]]):
    """One task of a stream, sample by sample: the leaf below every Avalanche data set made here.

    ``cl_sparse.data.loader`` only asks for ``stream`` and ``task``, and then reads whole batches from the stream.
    """

    collate_fn = staticmethod(collate)  # Avalanche's data sets take it over

    def __init__(self, stream: TaskStream, task: int) -> None:
        self.stream = stream
        self.task = task
        self._first = stream.offsets[task]
        self._n = stream.offsets[task + 1] - self._first

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        """Return the normalised sample, on the stream's device, and its label in the task, or its target."""
        if not -self._n <= index < self._n:
            raise IndexError(f"sample {index} of task {self.task}, which has {self._n}")
        x, y, _ = self.stream.batch(torch.tensor([self._first + index % self._n]))
        return x[0], y[0].item()

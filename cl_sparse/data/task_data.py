"""The tasks of a stream as Avalanche data sets."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

import cl_sparse.compat

# isort: split
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.benchmarks.utils.data_attribute import TaskLabels
from avalanche.benchmarks.utils.flat_data import ConstantSequence

from cl_sparse.data.stream import TaskStream


class TaskData(Dataset[tuple[Tensor, int]]):
    """One task of a stream, sample by sample: the leaf below every Avalanche data set made here.

    Avalanche's own loaders read samples through ``__getitem__``; ``cl_sparse.data.loader`` only asks for ``stream`` and
    ``task`` and then reads whole batches from the stream.
    """

    def __init__(self, stream: TaskStream, task: int) -> None:
        self.stream = stream
        self.task = task
        self._first = stream.offsets[task]
        self._n = stream.offsets[task + 1] - self._first

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return the normalised sample, on the stream's device, and its label in the task."""
        if not -self._n <= index < self._n:
            raise IndexError(f"sample {index} of task {self.task}, which has {self._n}")
        x, y, _ = self.stream.batch(torch.tensor([self._first + index % self._n]))
        return x[0], int(y[0])


def task_datasets(stream: TaskStream) -> list[Any]:
    """Return one Avalanche data set per task, with ``targets`` and ``targets_task_labels`` (as the stream tells them).

    Args:
        stream: the tasks. Tasks with the same rows and labels share one list of targets.

    Returns:
        a ``TaskAwareSupervisedClassificationDataset`` per task; its samples are (x, y, t).
    """
    shared: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    datasets = []
    for task in range(stream.n_tasks):
        rows = stream.rows(task)
        key = (rows.data_ptr(), len(rows), tuple(stream.label_of[task].tolist()))
        if key not in shared:
            shared[key] = stream.labels(task).tolist()
        targets: Any = DataAttribute(shared[key], "targets")
        told = int(stream.told(torch.tensor(task)))
        task_labels = TaskLabels(ConstantSequence(told, len(rows)))
        datasets.append(
            TaskAwareSupervisedClassificationDataset([TaskData(stream, task)], data_attributes=[targets, task_labels])
        )
    return datasets

"""The tasks of a stream as Avalanche data sets."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import cl_sparse.compat

# isort: split
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.benchmarks.utils.data_attribute import TaskLabels
from avalanche.benchmarks.utils.flat_data import ConstantSequence

from cl_sparse.data.loader import served
from cl_sparse.data.stream import TaskStream
from cl_sparse.data.task_data import Fetched, TaskData


class StreamDataset(TaskAwareSupervisedClassificationDataset):
    """An Avalanche data set of a stream's samples, from which torch's ``DataLoader`` fetches whole mini-batches.

    So do the methods of Avalanche's that pass over a task's data on their own (EWC, MAS, GEM, iCaRL).
    """

    _serving: tuple[object, object, tuple[TaskStream, Tensor] | None] | None = None

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return the samples, fetched by one indexing operation if they are a stream's, as they are."""
        source = self._served()
        if source is None:
            return [self[index] for index in indices]
        stream, ids = source
        return Fetched(list(stream.batch(ids[torch.as_tensor(indices)])))

    def _served(self) -> tuple[TaskStream, Tensor] | None:
        """Return what ``served`` does; Avalanche's copies of the data set change its parts by replacing them."""
        parts = self._flat_data, self._data_attributes
        if self._serving is None or self._serving[0] is not parts[0] or self._serving[1] is not parts[1]:
            self._serving = (*parts, served(self))
        return self._serving[2]


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
        datasets.append(StreamDataset([TaskData(stream, task)], data_attributes=[targets, task_labels]))
    return datasets

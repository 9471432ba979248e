"""A stream of tasks whose targets are numbers: regression."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cl_sparse.data.image_data import ImageData, make_image_data
from cl_sparse.data.stream import TaskStream


class TargetStream(TaskStream):
    """A ``TaskStream`` in which the last column of ``x`` (N, D + 1) is the target: samples have D inputs.

    What classes are elsewhere are the tasks here: they deal the samples out.
    """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (D,)."""
        return (self.x.shape[1] - 1,)

    def labels(self, task: int) -> Tensor:
        """Return the targets of one task's samples, (n,) float32."""
        return self.x[self.rows(task), -1]

    def locate(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return, for samples with these ids, their rows of ``x``, targets, and tasks, (B,) each."""
        rows, _, tasks = super().locate(ids)
        return rows, self.x[rows, -1], tasks

    def samples(self, rows: Tensor, tasks: Tensor) -> Tensor:
        """Return the inputs in these rows of ``x``, (B, D) float32."""
        return super().samples(rows, tasks)[:, :-1]


def number_data(
    name: str, train: Sequence[tuple[Tensor, Tensor]], test: Sequence[tuple[Tensor, Tensor]], source: str
) -> tuple[ImageData, float, float]:
    """Return a data set for ``TargetStream``, standardised, and the mean and deviation of the targets that it was by.

    Inputs and targets have mean 0 and variance 1 over the first task's training data. An input that never changes there
    is divided by 1.

    Args:
        name: of the data set.
        train, test: of each task the inputs (n, D) and targets (n,).
        source: where they come from.
    """
    first = torch.cat([train[0][0], train[0][1][:, None]], dim=1).double()
    mean, std = first.mean(0), first.std(0, correction=0)
    std[std == 0] = 1.0

    def split(tasks: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        rows = torch.cat([torch.cat([x, y[:, None]], dim=1) for x, y in tasks]).double()
        numbers = torch.repeat_interleave(torch.arange(len(tasks)), torch.tensor([len(y) for _, y in tasks]))
        return ((rows - mean) / std).float(), numbers

    tasks = [f"task {task + 1}" for task in range(len(train))]
    data = make_image_data(name, split(train), split(test), tasks, source)
    return data, float(mean[-1]), float(std[-1])

"""All tasks of one split (train, validation or test) as index arithmetic over shared tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor


class BatchTransform(Protocol):
    """Changes raw samples according to the task they belong to, a whole mini-batch at a time."""

    def __call__(self, x: Tensor, tasks: Tensor) -> Tensor:
        """Return the transformed batch: x (B, ...) raw values, tasks (B,) int64."""
        ...

    def to(self, device: torch.device | str) -> BatchTransform:
        """Move what the transform holds to a device."""
        ...


class TaskStream:
    """A stream of tasks whose samples are numbered through: task t owns the ids ``offsets[t] .. offsets[t+1]-1``.

    Nothing is copied per task. Tasks may use the same rows (permutations of one data set) or different ones (a split);
    rows passed as the same tensor object are stored once.

    Args:
        x: stored samples, (N, ...), uint8 or float32.
        y: their original classes, (N,) int64.
        rows: per task, the indices of its samples in ``x``.
        label_of: (n_tasks, n_classes) int64: the label that a class has in a task, -1 where the task lacks the class.
        transform: the per-task change of the raw values, or None.
        mean, std: per channel (dimension 1 of ``x``), in units of the stored values; a sample becomes
            (x - mean) / std in float32. Empty: values are used as they are.
        tells_task: whether the task label that comes with a sample is its task; otherwise it is 0, in every task.

    Raises:
        ValueError: shapes disagree, or a task holds a sample whose class has no label there.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        rows: Sequence[Tensor],
        label_of: Tensor,
        transform: BatchTransform | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        tells_task: bool = True,
    ) -> None:
        if len(x) != len(y) or len(rows) != len(label_of):
            raise ValueError(f"{len(x)} samples, {len(y)} labels, {len(rows)} tasks, label_of for {len(label_of)}")
        self.x, self.y, self.label_of, self.transform = x, y, label_of, transform
        self.tells_task = tells_task
        self.offsets = [0, *accumulate(len(r) for r in rows)]
        self._ends = torch.tensor(self.offsets[1:])
        self._rows, self._shift = _share_rows(rows, self.offsets)
        self._normal = _normalisation(x, mean, std)
        for task in range(self.n_tasks):
            if bool((TaskStream.labels(self, task) < 0).any()):  # a kind of stream may have others
                raise ValueError(f"task {task} holds samples of a class that has no label in it")

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.offsets) - 1

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.x.device

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch dimension."""
        return tuple(self.x.shape[1:])

    @property
    def sample_bytes(self) -> int:
        """Bytes of one stored sample with its label (int64), as a replay buffer has to keep it."""
        return self.x[:1].numel() * self.x.element_size() + self.y.element_size()

    def __len__(self) -> int:
        """Number of samples over all tasks."""
        return self.offsets[-1]

    def task_ids(self, task: int) -> Tensor:
        """Return the ids of one task's samples, (n,) int64, on the CPU."""
        return torch.arange(self.offsets[task], self.offsets[task + 1])

    def rows(self, task: int) -> Tensor:
        """Return the rows of ``x`` that one task's samples come from, (n,) int64."""
        start = self.offsets[task] + int(self._shift[task])
        return self._rows[start : start + self.offsets[task + 1] - self.offsets[task]]

    def labels(self, task: int) -> Tensor:
        """Return the labels of one task's samples, (n,) int64, as the learner sees them."""
        return self.label_of[task][self.y[self.rows(task)]]

    def batch(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the samples with these ids, which may belong to several tasks.

        Args:
            ids: (B,) int64, each in 0 .. len(self)-1.

        Returns:
            x (B, ...) float32 (normalised), y (B,) int64 (labels in the task), t (B,) int64 (task labels).
        """
        rows, y, tasks = self.locate(ids)
        return self.samples(rows, tasks), y, self.told(tasks)

    def locate(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return, for samples with these ids, their rows of ``x``, labels and tasks, (B,) int64 each."""
        ids = ids.to(self.device)
        tasks = torch.bucketize(ids, self._ends, right=True)
        rows = self._rows.index_select(0, ids + self._shift.index_select(0, tasks))
        return rows, self.label_of[tasks, self.y.index_select(0, rows)], tasks

    def told(self, tasks: Tensor) -> Tensor:
        """Return the task labels that come with samples of these tasks, (B,) int64: the tasks, or nothing but 0."""
        return tasks if self.tells_task else torch.zeros_like(tasks)

    def samples(self, rows: Tensor, tasks: Tensor) -> Tensor:
        """Return the samples in these rows of ``x``, as they look in their tasks, normalised, (B, ...) float32."""
        x = self.x.index_select(0, rows)
        if self.transform is not None:
            x = self.transform(x, tasks)
        return self._normalise(x)

    def to(self, device: torch.device | str) -> TaskStream:
        """Move the stream's tensors, in place; data sets and loaders built on the stream follow. Returns self."""
        for name in ("x", "y", "label_of", "_ends", "_rows", "_shift"):
            setattr(self, name, getattr(self, name).to(device))
        if self._normal is not None:
            self._normal = self._normal.to(device)
        if self.transform is not None:
            self.transform = self.transform.to(device)
        return self

    def _normalise(self, x: Tensor) -> Tensor:
        if self._normal is None:
            return x.to(torch.float32)
        scale, bias = self._normal.unbind()
        return torch.mul(x, scale).add_(bias)  # uint8 × float32 converts and scales in one pass


def _share_rows(rows: Sequence[Tensor], offsets: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Store each distinct row tensor once; return the store and, per task, what turns an id into a place in it."""
    starts: dict[int, int] = {}
    distinct: list[Tensor] = []
    end = 0
    for task_rows in rows:
        if id(task_rows) not in starts:
            starts[id(task_rows)] = end
            distinct.append(task_rows)
            end += len(task_rows)
    shift = [starts[id(task_rows)] - offset for task_rows, offset in zip(rows, offsets, strict=False)]
    return torch.cat(distinct), torch.tensor(shift)


def _normalisation(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor | None:
    """Return scale and bias, (2, C, 1, 1) float32, that turn x into (x - mean) / std as x · scale + bias."""
    if not mean:
        return None
    if len(mean) != len(std):
        raise ValueError(f"{len(mean)} means, {len(std)} standard deviations")
    scale = 1 / torch.tensor(std, dtype=torch.float64)
    bias = -torch.tensor(mean, dtype=torch.float64) * scale
    shape = (2, -1, *[1] * (x.ndim - 2)) if len(mean) > 1 else (2, 1)
    return torch.stack([scale, bias]).float().reshape(shape)

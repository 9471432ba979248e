"""Sending each sample of a batch to the module of its task."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def checked_labels(task_labels: Tensor | None, n_tasks: int) -> tuple[Tensor, list[int]]:
    """Return the task labels, and the tasks that the batch has samples of, in ascending order.

    Args:
        task_labels: (B,) task of each sample.
        n_tasks: number of tasks there are.

    Raises:
        ValueError: there are no labels, or one is not from 0 to ``n_tasks`` − 1.
    """
    if task_labels is None:
        raise ValueError(
            "this model needs the task labels of the batch: call model(x, task_labels), or give Avalanche's strategies "
            "cl_sparse.strategies.MultiTask(model)"
        )
    present: list[int] = sorted(set(task_labels.tolist()))
    if present and (present[0] < 0 or present[-1] >= n_tasks):
        raise ValueError(f"task labels must be from 0 to {n_tasks - 1}, not from {present[0]} to {present[-1]}")
    return task_labels, present


def route(
    modules: nn.ModuleList | Sequence[Callable[[Tensor], Tensor]], x: Tensor, task_labels: Tensor | None
) -> Tensor:
    """Apply to each sample the module of its task; modules of absent tasks are not called at all.

    Args:
        modules: one module or function per task, all with outputs of the same shape.
        x: (B, ...) batch.
        task_labels: (B,) index of each sample's module.

    Returns:
        (B, ...) outputs, in the order of ``x``.

    Raises:
        ValueError: no task labels, or one without a module.
    """
    labels, present = checked_labels(task_labels, len(modules))
    if len(present) <= 1:
        out: Tensor = modules[present[0] if present else 0](x)
        return out
    rows = [torch.nonzero(labels == task).squeeze(1) for task in present]
    parts = [modules[task](x[own]) for task, own in zip(present, rows, strict=True)]
    return torch.cat(parts)[torch.cat(rows).argsort()]

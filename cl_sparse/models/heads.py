"""Output layers: one head for all tasks, one head per task, or one head of which a task sees its own classes only."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cl_sparse.layers.routing import checked_labels, route


class Head(nn.Module):
    """What a model expects of its output layer: ``head(h, task_labels) -> logits``.

    Attributes:
        needs_task_labels: whether the head has to be told each sample's task.
        n_outputs: number of logits per sample.
    """

    needs_task_labels: bool = False
    n_outputs: int


HeadFactory = Callable[[int], Head]
"""From the number of features to a head, e.g. ``lambda n: SingleHead(n, 10)``."""


class SingleHead(Head):
    """One linear layer for all tasks: (B, n_features) → (B, n_outputs)."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.n_outputs = n_outputs
        self.linear = nn.Linear(n_features, n_outputs)

    def forward(self, h: Tensor, task_labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 (all heads are called alike)
        """Return the logits (B, n_outputs); the task labels are not looked at."""
        logits: Tensor = self.linear(h)
        return logits


class MultiHead(Head):
    """One linear layer per task, all there from the start: an optimizer made before the first task has them all.

    A head takes part in a batch only if the batch has samples of its task. Otherwise its gradient stays None, so that
    neither momentum nor weight decay moves it (provided that ``zero_grad`` sets gradients to None, torch's default).

    Shapes: features (B, n_features), task labels (B,) → logits (B, n_outputs).
    """

    needs_task_labels = True

    def __init__(self, n_features: int, n_tasks: int, n_outputs: int) -> None:
        super().__init__()
        self.n_outputs = n_outputs
        self.heads = nn.ModuleList(nn.Linear(n_features, n_outputs) for _ in range(n_tasks))

    def forward(self, h: Tensor, task_labels: Tensor | None = None) -> Tensor:
        """Return the logits of each sample from the head of its task.

        Raises:
            ValueError: no task labels, or one without a head.
        """
        return route(self.heads, h, task_labels)


class MaskedHead(Head):
    """One linear layer over the classes of all tasks, of which a sample sees the classes of its own task.

    Args:
        n_features: number of features.
        task_classes: the classes of each task, equally many for all tasks; logit i of a sample of task t belongs to
            class ``task_classes[t][i]``.

    Shapes: features (B, n_features), task labels (B,) → logits (B, classes per task).

    Raises:
        ValueError: the tasks differ in their number of classes.
    """

    needs_task_labels = True
    columns: Tensor

    def __init__(self, n_features: int, task_classes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        sizes = {len(classes) for classes in task_classes}
        if len(sizes) != 1:
            raise ValueError(f"MaskedHead: all tasks must have equally many classes, not {sorted(sizes)}")
        self.n_outputs = sizes.pop()
        self.linear = nn.Linear(n_features, 1 + max(max(classes) for classes in task_classes))
        self.register_buffer("columns", torch.tensor([list(classes) for classes in task_classes]), persistent=False)

    def forward(self, h: Tensor, task_labels: Tensor | None = None) -> Tensor:
        """Return the logits of each sample for the classes of its task.

        Raises:
            ValueError: no task labels, or one outside of the tasks.
        """
        labels, _ = checked_labels(task_labels, len(self.columns))
        logits: Tensor = self.linear(h)
        return logits.gather(1, self.columns[labels])

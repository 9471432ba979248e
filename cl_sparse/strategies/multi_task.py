"""Our models that need task labels, in Avalanche's strategies."""

from typing import Any

import torch
from torch import Tensor, nn

import cl_sparse.compat

# isort: split
from avalanche.models import MultiTaskModule

from cl_sparse.layers.consumers import Consumers


class MultiTask(MultiTaskModule):
    """Show Avalanche a model that is called with the task labels as one of its own multi-task models.

    ``Naive(model=MultiTask(net), ...)`` for a net with :class:`~cl_sparse.models.MultiHead` or
    :class:`~cl_sparse.models.MaskedHead`, or for :class:`~cl_sparse.models.IndependentNets`. All heads are there from
    the start: nothing is added to the model.

    Args:
        model: called with a batch (B, ...) and task labels (B,), it returns logits (B, n_outputs).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.known_train_tasks_labels: set[int] = set()

    def forward(self, x: Tensor, task_labels: Any = None) -> Any:
        """Return the logits of each sample from the head of its task.

        Args:
            x: (B, ...).
            task_labels: (B,), or one number for all samples; None: the logits of each task trained on, by task.
        """
        if task_labels is None:
            return self.forward_all_tasks(x)
        if isinstance(task_labels, int):
            return self.forward_single_task(x, task_labels)
        return self.model(x, task_labels)

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Return the logits of all samples from one task's head."""
        logits: Tensor = self.model(x, torch.full((len(x),), task_label, device=x.device))
        return logits

    def adaptation(self, experience: Any) -> None:
        """Note which tasks are trained on."""
        if self.training:
            self.known_train_tasks_labels = self.known_train_tasks_labels.union(experience.task_labels)

    def consumers(self) -> dict[str, Consumers]:
        """Return, for each layer of the model, who consumes its units, by name."""
        of_model: dict[str, Consumers] = self.model.consumers()  # type: ignore[operator]  # any model of ours
        return {f"model.{layer}": own.within("model") for layer, own in of_model.items()}

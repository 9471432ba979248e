"""Fixed features and a readout on top of them: a net that is solved instead of trained."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cl_sparse.layers.fixed_features import FixedFeatures
from cl_sparse.layers.routing import checked_labels


class FixedNet(nn.Module):
    """Features, then a layer over all classes; a task label, where there is one, leaves the task's classes.

    Args:
        features: not trained.
        readout: from features (B, width) to logits (B, n).
        task_classes: the classes of each task, equally many, if the task label is told; else None.

    Attributes:
        needs_task_labels: whether :meth:`forward` has to be given the task labels.
        n_outputs: number of logits per sample.
    """

    columns: Tensor

    def __init__(
        self, features: FixedFeatures, readout: nn.Module, task_classes: Sequence[Sequence[int]] | None = None
    ) -> None:
        super().__init__()
        self.features, self.readout = features, readout
        self.needs_task_labels = task_classes is not None
        columns = torch.tensor([list(classes) for classes in task_classes or ()])
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor, task_labels: Tensor | None = None) -> Tensor:
        """Return the logits of a batch (B, ...).

        Raises:
            ValueError: the task labels are needed, and there are none or wrong ones.
        """
        return self.logits(self.features(x), task_labels)

    def logits(self, features: Tensor, task_labels: Tensor | None = None) -> Tensor:
        """Return the logits of a batch's features (B, width).

        Raises:
            ValueError: as :meth:`forward`.
        """
        logits: Tensor = self.readout(features)
        if not self.needs_task_labels:
            return logits
        labels, _ = checked_labels(task_labels, len(self.columns))
        return logits.gather(1, self.columns[labels])

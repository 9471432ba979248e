"""One network per task, chosen by which task's mean input a sample is nearest to."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cl_sparse.layers.routing import route
from cl_sparse.models.independent import IndependentNets


class InferredNets(IndependentNets):
    """A network of its own for each task; which one a sample goes to is inferred from the sample alone.

    In training it is the task's that is being trained (``training_task``). In evaluation it is that of the task whose
    mean training input is nearest, among those that have been learned.

    Args:
        nets: one network per task, all with equally many outputs, and called without task labels.
        input_shape: of one sample.

    Attributes:
        training_task: number of the task that is being trained.
    """

    needs_task_labels = False
    means: Tensor
    counts: Tensor

    def __init__(self, nets: Iterable[nn.Module], input_shape: tuple[int, ...]) -> None:
        super().__init__(nets)
        self.training_task = 0
        n_inputs = int(torch.Size(input_shape).numel())
        self.register_buffer("means", torch.zeros(len(self.nets), n_inputs))
        self.register_buffer("counts", torch.zeros(len(self.nets), dtype=torch.long))

    @torch.no_grad()
    def see(self, x: Tensor, task: int) -> None:
        """Let samples (B, ...) of a task count in its mean."""
        self.counts[task] += len(x)
        self.means[task] += (x.flatten(1) - self.means[task]).sum(0) / self.counts[task]

    @torch.no_grad()
    def infer(self, x: Tensor) -> Tensor:
        """Return the number of the task whose mean is nearest to each sample, long (B,); 0 before one is known."""
        away = torch.cdist(x.flatten(1), self.means)
        away[:, self.counts == 0] = torch.inf
        return away.argmin(1)

    def forward(self, x: Tensor, task_labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 (models are called alike)
        """Return the logits of each sample of ``x`` (B, ...); the task labels are not looked at."""
        if self.training:
            logits: Tensor = self.nets[self.training_task](x)
            return logits
        return route(self.nets, x, self.infer(x))

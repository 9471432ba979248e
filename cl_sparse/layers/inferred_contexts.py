"""A net that is told the task in training only; at test it infers each sample's from the sample alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.layers.consumers import Consumers


class InferredContexts(nn.Module):
    """A net that needs task labels, and infers them: the task whose mean training input is nearest.

    In training the label is that of the task that is being trained. In evaluation it is, for each sample by itself,
    that of the nearest mean among the tasks that have been seen; the labels that the caller gives are not looked at.

    Args:
        net: called with a batch (B, ...) and task labels (B,).
        n_tasks: tasks that there will be.

    Attributes:
        training_task: number of the task that is being trained.
        means: (n_tasks, inputs) mean training inputs; None before the first sample.
        counts: (n_tasks,) samples in them.
    """

    needs_task_labels = False
    means: Tensor | None
    counts: Tensor

    def __init__(self, net: nn.Module, n_tasks: int) -> None:
        super().__init__()
        self.net: Any = net
        self.n_tasks, self.training_task = n_tasks, 0
        self.register_buffer("means", None)
        self.register_buffer("counts", torch.zeros(n_tasks, dtype=torch.long))

    def consumers(self) -> dict[str, Consumers]:
        """Return, for each layer of the net, who consumes its units, by name."""
        of_net: dict[str, Consumers] = self.net.consumers() if hasattr(self.net, "consumers") else {}
        return {f"net.{layer}": consumers.within("net") for layer, consumers in of_net.items()}

    @torch.no_grad()
    def see(self, x: Tensor, task: int) -> None:
        """Let samples (B, ...) of a task count in its mean."""
        flat = x.flatten(1)
        if self.means is None:
            self.means = flat.new_zeros(self.n_tasks, flat.shape[1])
        self.counts[task] += len(flat)
        self.means[task] += (flat - self.means[task]).sum(0) / self.counts[task]

    @torch.no_grad()
    def infer(self, x: Tensor) -> Tensor:
        """Return the number of the task whose mean is nearest to each sample, long (B,); 0 before one is known."""
        if self.means is None:
            return torch.zeros(len(x), dtype=torch.long, device=x.device)
        away = torch.cdist(x.flatten(1), self.means)
        away[:, self.counts == 0] = torch.inf
        return away.argmin(1)

    def forward(self, x: Tensor, task_labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 (models are called alike)
        """Return the logits of each sample of ``x`` (B, ...)."""
        labels = torch.full((len(x),), self.training_task, device=x.device) if self.training else self.infer(x)
        logits: Tensor = self.net(x, labels)
        return logits

    def make_room(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Have means of the shape that is given by their name, if they are not there yet."""
        if "means" in shapes and self.means is None:
            self.means = torch.zeros(tuple(shapes["means"]), device=self.counts.device)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if f"{prefix}means" in state_dict:
            self.make_room({"means": state_dict[f"{prefix}means"].shape})
        super()._load_from_state_dict(state_dict, prefix, *rest)

"""A layer of output weights that is solved from sums over the stream instead of trained."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn


class Readout(nn.Module, ABC):
    """Output weights over fixed features: ``update`` with labelled features, in any order, then use it as a layer.

    A class may be a part of an output's samples (the even digits of one task, say): an output's logit is the largest of
    its classes'. Classes without samples cannot win.

    Args:
        features: number d of features.
        outputs: the output of each class, (classes,).

    Attributes:
        squares: matrices (d, d) that it has in memory together.
        weight, bias: of the solution, (classes, d) and (classes,); 0 before the first.

    Shapes: (B, d) → (B, outputs).
    """

    squares: ClassVar[int] = 0
    weight: nn.Parameter
    output_of: Tensor

    def __init__(self, features: int, outputs: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("output_of", torch.tensor(list(outputs)), persistent=False)
        self.n_outputs = max(outputs) + 1
        self.weight = nn.Parameter(torch.zeros(len(outputs), features), requires_grad=False)
        self.bias = nn.Parameter(torch.full((len(outputs),), -torch.inf), requires_grad=False)

    @abstractmethod
    def update(self, x: Tensor, classes: Tensor) -> None:
        """Learn from features (B, d) of samples of some classes, (B,) long."""

    @abstractmethod
    def solve(self) -> None:
        """Set weight and bias to the solution for all samples so far."""

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores of all classes, (B, classes)."""
        return nn.functional.linear(x, self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, outputs), the dtype's lowest value for outputs without samples."""
        scores = self.scores(x).clamp(min=torch.finfo(x.dtype).min)
        logits = scores.new_full((len(scores), self.n_outputs), torch.finfo(x.dtype).min)
        return logits.scatter_reduce(1, self.output_of.expand(len(scores), -1), scores, "amax")

"""Memory aware synapses: those that the net's outputs depend on are held back."""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.importance import sensitivity
from cl_sparse.synapses.quadratic import HOLD, Hold, Quadratic


class AwareSynapses(Quadratic):
    """Memory aware synapses (Aljundi et al. 2018).

    When a task ends, each synapse gains as importance the mean over the task's samples of |∂‖f(x)‖²/∂w| (eq. 2 and 4),
    each sample's own; no label is needed. From then on the loss gets c·Σ Ω·(w − w*)² (eq. 3), w* being the weights
    after the last task.

    Many programs take the absolute value of a mini-batch's mean gradient instead, in which samples cancel out:
    ``together``.

    Args:
        c: strength, λ in the paper, at least 0; 0 is plain training.
        mode: "penalty" or "proximal", see ``Quadratic``.
        together: samples whose gradients are averaged before the absolute value is taken; 1, as in the paper.

    Raises:
        ValueError: a number is out of range.
    """

    per_sample = True

    def __init__(
        self,
        c: Annotated[float, Field(ge=0, description="Strength λ; 0 is plain training.")] = 1.0,
        mode: Annotated[Hold, Field(description=HOLD)] = "proximal",
        together: Annotated[int, Field(ge=1, description="Samples whose gradients are averaged first.")] = 1,
    ) -> None:
        if not c >= 0 or together < 1:
            raise ValueError(f"c must be at least 0, together at least 1, not {c} and {together}")
        super().__init__(c, mode)
        self.together = together

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Add the task's sensitivities."""
        found = sensitivity(self.ledger.model, batches, self.together)
        for name, weight in self.ledger.current().items():
            self.importance[name] += found[name]
            self.anchor[name].copy_(weight)

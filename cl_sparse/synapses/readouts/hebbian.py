"""Associative learning: what is on when a class is shown is tied to it."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.readouts.readout import Readout


class Hebbian(Readout):
    """Synapses from active features to the class that is shown grow; all others stay as they are.

    For each sample x of class c: w_c ← (1 − decay)·w_c + rate·x/max(x). Other classes' synapses are frozen meanwhile,
    so classes that come one after another do not disturb each other. (FlyModel: Shen, Dasgupta and Navlakha 2021,
    "Algorithmic insights on continual learning from fruit flies".)

    Args:
        features, outputs: as for :class:`Readout`.
        rate: of growth, above 0.
        decay: of the synapses of the class that is shown, per sample; above 0 later samples count more.
    """

    seen: Tensor

    def __init__(
        self,
        features: int,
        outputs: Sequence[int],
        rate: Annotated[float, Field(gt=0, description="How much a synapse grows per sample.")] = 0.01,
        decay: Annotated[float, Field(ge=0, lt=1, description="What it loses per sample of its class.")] = 0.0,
    ) -> None:
        super().__init__(features, outputs)
        self.rate, self.decay = rate, decay
        self.register_buffer("seen", torch.zeros(len(outputs), dtype=torch.bool))

    @torch.no_grad()
    def update(self, x: Tensor, classes: Tensor) -> None:
        """See the base class."""
        scaled = x / x.amax(1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        for label in torch.unique(classes):
            shown = scaled[classes == label]
            left = (1 - self.decay) ** torch.arange(len(shown), -1, -1, device=x.device, dtype=x.dtype)
            self.weight[label] = left[0] * self.weight[label] + self.rate * left[1:] @ shown
            self.seen[label] = True

    @torch.no_grad()
    def solve(self) -> None:
        """Nothing is to be solved; classes that were not shown cannot win."""
        self.bias.copy_(torch.where(self.seen, 0.0, -torch.inf))

"""Units that are switched off for good when the sign of their switch changes."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field

from cl_sparse.layers import SwitchLayer
from cl_sparse.synapses.filtered_units import Decay, FilteredUnits, Protect, Samples, Threshold, parameter_of
from cl_sparse.synapses.mechanism import Needs


class SwitchedUnits(FilteredUnits):
    """y = β·(W·x + b) in each hidden layer, at the cost λ·Σ|β| + λ₂·Σ|w|^p (see ``SwitchLayer``).

    The cost of the weights is added to the gradients, of the weights that have one: the head of another task is left
    alone.

    Args:
        strength: λ, at least 0; of a convolution's channel times the area of its kernel.
        weight_strength: λ₂, above 0: without it weights grow as β shrinks, and there is no minimum.
        power: p, 1 or 2.
        decay: what λ is divided by after each epoch of a task, at least 1.
        filter_lr: learning rate of β; None: that of the weights. It never decays.
        start: β is drawn from N(0, 1), from U(−1, 1), or is 1.
        memory: γ, of the running mean and variance of β's sign.
        kill_above: the variance above which a unit is killed.
        protect: whose β are exempt and frozen from the end of a task on: nobody's; those of all units that live; or of
            those without which the loss on the task's data rises by more than ``threshold``.
        threshold: see ``protect``.
        samples: the task's first ones, on which that is measured.

    Raises:
        ValueError: an argument is out of range.
    """

    needs = Needs.ALL
    edits_gradients = True

    def __init__(
        self,
        strength: Annotated[float, Field(ge=0, description="λ: what |β| = 1 costs.")] = 1e-3,
        weight_strength: Annotated[float, Field(gt=0, description="λ₂: strength of the penalty on weights.")] = 1e-4,
        power: Annotated[int, Field(ge=1, le=2, description="p of the penalty on weights, Σ|w|^p.")] = 2,
        decay: Decay = 1.0,
        filter_lr: Annotated[
            float | None, Field(gt=0, description="Learning rate of β; null: that of the weights.")
        ] = None,
        start: Annotated[
            Literal["normal", "uniform", "one"], Field(description="β from N(0, 1), from U(-1, 1), or 1.")
        ] = "normal",
        memory: Annotated[float, Field(ge=0, lt=1, description="γ: memory of the sign's mean and variance.")] = 0.99,
        kill_above: Annotated[float, Field(ge=0, le=1, description="A unit of more sign variance is killed.")] = 0.5,
        protect: Annotated[
            Protect,
            Field(description="β exempt and frozen after a task: none, of all alive, or of important units."),
        ] = "none",
        threshold: Threshold = 1e-3,
        samples: Samples = 1000,
    ) -> None:
        super().__init__(strength, decay, filter_lr, protect, threshold, samples)
        if not 0 < weight_strength < math.inf or power not in (1, 2):
            raise ValueError(
                f"weight_strength must be above 0 (else weights grow as β shrinks) and power 1 or 2, not "
                f"{weight_strength} and {power}"
            )
        if not 0 <= kill_above <= 1:
            raise ValueError(f"kill_above must be from 0 to 1, not {kill_above}")
        SwitchLayer(1, start=start, decay=memory, threshold=kill_above)  # is for it to refuse
        self.weight_strength, self.power = weight_strength, power
        self.start, self.memory, self.kill_above = start, memory, kill_above

    def make(self, n: int, cost: float) -> SwitchLayer:
        """Return a filter for n units."""
        return SwitchLayer(n, cost, self.start, self.memory, self.kill_above)

    @torch.no_grad()
    def before_step(self) -> None:
        """Add the gradient of λ₂·Σ|w|^p."""
        for found in self.ledger.synapses.values():
            weight = found.parameter
            if weight.grad is not None:
                slope = weight.sign() if self.power == 1 else 2 * weight
                weight.grad.add_(slope, alpha=self.weight_strength)

    @torch.no_grad()
    def after_step(self, step: object) -> None:
        """Follow the signs of β, but of those that are held."""
        for name, own in self.filters.values():
            if isinstance(own, SwitchLayer):
                scale = self.ledger.steps.scale_of(parameter_of(name, own))
                own.watch_signs(None if scale is None else scale == 0)

"""Synaptic intelligence: synapses that earlier tasks' learning went through are held back."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Needs
from cl_sparse.synapses.quadratic import HOLD, Quadratic
from cl_sparse.synapses.step import Step
from cl_sparse.synapses.update_scale import scale_updates


class SynapticIntelligence(Quadratic):
    """Synaptic intelligence (Zenke, Poole and Ganguli 2017).

    During a task each synapse accumulates its part of the fall of the loss, ω = −Σ g·Δw (eq. 3; g without the
    penalty's part). When the task ends its importance grows, Ω += max(0, ω) / ((w − w*)² + ξ), w* being the weights
    before the task (eq. 5). From then on, either

    - mode "penalty" or "proximal": the loss gets c·Σ Ω·(w − w*)² (eq. 4), w* being the weights after the last task,
      explicitly or by a step of its own, see ``Quadratic``; or
    - mode "slow": every change of a synapse is multiplied by 1/(1 + c·Ω). Nothing pulls it back, so nets that compute
      only what wins need not touch the others.

    A synapse that grows during a task counts from 0: w* = 0 whatever value it starts with.

    Args:
        c: strength, at least 0; 0 is plain training.
        xi: ξ, above 0, keeps Ω finite where a weight has not moved.
        mode: "penalty", "proximal" or "slow".

    Raises:
        ValueError: a number is out of range.
    """

    looks_at_steps = True

    def __init__(
        self,
        c: Annotated[float, Field(ge=0, description="Strength; 0 is plain training.")] = 0.1,
        xi: Annotated[float, Field(gt=0, description="Keeps importance finite where a weight has not moved.")] = 0.1,
        mode: Annotated[
            Literal["penalty", "proximal", "slow"],
            Field(description=f"{HOLD} slow: updates times 1/(1 + c·importance)."),
        ] = "penalty",
    ) -> None:
        if not c >= 0 or not xi > 0:
            raise ValueError(f"c must be at least 0 and xi above 0, not {c} and {xi}")
        super().__init__(c, mode)
        self.xi = xi
        self.needs = Needs.TOUCHED if mode == "slow" else Needs.ALL
        self.fractional = mode == "slow"

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with no importance."""
        super().attach(ledger, generator)
        self.path = ledger.keep(self.name, "path")
        self.updates = scale_updates(ledger, {}, owner=self.name) if self.mode == "slow" else None

    @torch.no_grad()
    def before_task(self, task: int) -> None:
        """Remember the weights that the task starts from."""
        for name, weight in self.ledger.current().items():
            self.anchor[name].copy_(weight)

    def after_step(self, step: Step) -> None:
        """Add −g·Δw to the path integrals of the synapses that took part."""
        for name, touched in step.touched.items():
            touched.add_fall(self.path[name])
            if touched.at is None and self.mode == "penalty":
                pull = (touched.now - touched.change).sub_(self.anchor[name]).mul_(self.importance[name])
                self.path[name].addcmul_(pull, touched.change, value=2 * self.c)
        super().after_step(step)

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Turn path integrals into importances."""
        for name, weight in self.ledger.current().items():
            moved = (weight - self.anchor[name]).square_().add_(self.xi)
            self.importance[name].add_(self.path[name].clamp_(min=0).div_(moved))
            self.path[name].zero_()
        if self.updates is not None:
            self.updates.set({name: 1 / (1 + self.c * omega) for name, omega in self.importance.items()})

"""Synaptic intelligence: synapses that earlier tasks' learning went through are held back."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.step import Step
from cl_sparse.synapses.update_scale import scale_updates


class SynapticIntelligence(Mechanism):
    """Synaptic intelligence (Zenke, Poole and Ganguli 2017).

    During a task each synapse accumulates its part of the fall of the loss, ω = −Σ g·Δw (eq. 3; g without the
    penalty's part). When the task ends its importance grows, Ω += max(0, ω) / ((w − w*)² + ξ), w* being the weights
    before the task (eq. 5). From then on, either

    - mode "penalty": the loss gets c·Σ Ω·(w − w*)² (eq. 4), w* being the weights after the last task; or
    - mode "slow": every change of a synapse is multiplied by 1/(1 + c·Ω). Nothing pulls it back, so nets that compute
      only what wins need not touch the others.

    A synapse that grows during a task counts from 0: w* = 0 whatever value it starts with.

    Args:
        c: strength, at least 0; 0 is plain training.
        xi: ξ, above 0, keeps Ω finite where a weight has not moved.
        mode: "penalty" or "slow".

    Raises:
        ValueError: a number is out of range.
    """

    task_info = ("boundaries", "none")

    def __init__(
        self,
        c: Annotated[float, Field(ge=0, description="Strength; 0 is plain training.")] = 0.1,
        xi: Annotated[float, Field(gt=0, description="Keeps importance finite where a weight has not moved.")] = 0.1,
        mode: Annotated[
            Literal["penalty", "slow"],
            Field(description="penalty: a quadratic penalty in the loss; slow: updates times 1/(1 + c·importance)."),
        ] = "penalty",
    ) -> None:
        if not c >= 0 or not xi > 0:
            raise ValueError(f"c must be at least 0 and xi above 0, not {c} and {xi}")
        self.c, self.xi, self.mode = c, xi, mode
        self.needs = Needs.ALL if mode == "penalty" else Needs.TOUCHED
        self.fractional = mode == "slow"

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with no importance."""
        self.ledger = ledger
        self.path, self.importance, self.anchor = (ledger.keep(self.name, key) for key in ("path", "Ω", "w*"))
        self.updates = scale_updates(ledger, {}, owner=self.name) if self.mode == "slow" else None

    @torch.no_grad()
    def before_task(self, task: int) -> None:
        """Remember the weights that the task starts from."""
        for name, weight in self.ledger.current().items():
            self.anchor[name].copy_(weight)

    def penalty(self) -> Tensor | float:
        """Return c·Σ Ω·(w − w*)², in mode "penalty"."""
        if self.mode != "penalty" or not self.c:
            return 0.0
        terms = [
            (self.importance[name] * (parameter - self.anchor[name]).square()).sum()
            for name, parameter in self.ledger.parameters().items()
        ]
        return self.c * torch.stack(terms).sum()

    def after_step(self, step: Step) -> None:
        """Add −g·Δw to the path integrals of the synapses that took part."""
        for name, touched in step.touched.items():
            grad = touched.grad
            if touched.at is None and self.mode == "penalty":
                before = self.ledger.parameters()[name].detach() - touched.change
                grad = grad - 2 * self.c * self.importance[name] * (before - self.anchor[name])
            touched.add(self.path[name], grad * -touched.change)

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Turn path integrals into importances."""
        for name, weight in self.ledger.current().items():
            moved = (weight - self.anchor[name]).square_().add_(self.xi)
            self.importance[name].add_(self.path[name].clamp_(min=0).div_(moved))
            self.path[name].zero_()
        if self.updates is not None:
            self.updates.set({name: 1 / (1 + self.c * omega) for name, omega in self.importance.items()})

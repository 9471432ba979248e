"""Elastic weight consolidation: synapses that the old tasks' likelihood depends on are held back."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.importance import LABELS, OUTPUT, TEMPERATURE, Likelihood, fisher
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.quadratic import HOLD, Hold, Quadratic


class ElasticWeights(Quadratic):
    """Elastic weight consolidation (Kirkpatrick et al. 2017, eq. 3), and its online form (Schwarz et al. 2018, 3.2).

    When a task ends, F is the mean over its samples of the squared gradient of log p(y|x), each sample's own: the
    diagonal of the Fisher information where y is drawn from what the net predicts. From then on the loss gets

    - (c/2)·Σ_t Σ F_t·(w − w_t*)², a spring per task; their sum is one spring, of strength ΣF_t, to the mean of the w_t*
      weighted by F_t, and a constant, so two numbers per synapse are kept however many tasks there are; or
    - with ``decay`` γ, (c/2)·Σ F̃·(w − w*)², F̃ ← γ·F̃ + F, w* being the weights after the last task. Each F is as it
      is; the authors scale it, for tasks whose gradients are of different sizes.

    A synapse that grows later has no importance.

    Args:
        c: strength, λ in the paper, at least 0; 0 is plain training.
        decay: γ of the online form, 0 to 1; None: a spring per task.
        labels: "drawn" from the net's predictions, which makes F the Fisher information; "given": those of the data
            (the empirical Fisher information).
        samples: of a task to average over, its first ones; None: all.
        temperature: of the predictions, see ``Likelihood``; 1, as in the papers.
        mode: "penalty" or "proximal", see ``Quadratic``.
        output: what the loss takes outputs for, see ``Likelihood``.

    Raises:
        ValueError: a number is out of range.
    """

    per_sample = True

    def __init__(
        self,
        c: Annotated[float, Field(ge=0, description="Strength λ; 0 is plain training.")] = 100.0,
        decay: Annotated[
            float | None, Field(ge=0, le=1, description="γ of the online form; null: a spring for every task.")
        ] = None,
        labels: Annotated[Literal["drawn", "given"], Field(description=LABELS)] = "drawn",
        samples: Annotated[int | None, Field(ge=1, description="Of a task to average over; null: all.")] = None,
        temperature: Annotated[float, Field(ge=0.01, le=100, description=TEMPERATURE)] = 1.0,
        mode: Annotated[Hold, Field(description=HOLD)] = "proximal",
        output: Annotated[Literal["softmax", "gaussian"], Field(description=OUTPUT)] = "softmax",
    ) -> None:
        if not c >= 0 or not (decay is None or 0 <= decay <= 1):
            raise ValueError(f"c must be at least 0, decay from 0 to 1, not {c}, {decay}")
        super().__init__(c / 2, mode)
        self.decay, self.likelihood = decay, Likelihood(labels, samples, temperature, output)

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with no importance; see ``Quadratic``."""
        super().attach(ledger, generator)
        self.generator = generator

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Add the task's information."""
        information = self.fisher(batches)
        for name, weight in self.ledger.current().items():
            old, new, anchor = self.importance[name], information[name], self.anchor[name]
            if self.decay is None:
                total = old + new
                held = total > 0
                anchor[held] += (weight - anchor)[held] * (new[held] / total[held])
                old.copy_(total)
            else:
                anchor.copy_(weight)
                old.mul_(self.decay).add_(new)

    def fisher(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, Tensor]:
        """Return the mean of the squared gradients of log p(y|x), by the parameter's name.

        Args:
            batches: ``(x, y, task labels)``.
        """
        return fisher(self.ledger.model, batches, self.generator, self.likelihood)

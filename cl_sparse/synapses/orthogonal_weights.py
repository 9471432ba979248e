"""Orthogonal weights modification: changes keep off the directions that old inputs had."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.projection import LEAVE, Projection, by_layer


class OrthogonalWeights(Projection):
    """Orthogonal weights modification (Zeng, Chen, Cui and Yu 2019).

    P = I − A(AᵀA + αI)⁻¹Aᵀ (their eq. 1), A being the inputs of all earlier tasks. With ``when: task`` it is computed
    as (C/α + I)⁻¹, which is the same, with C the sum over tasks of the mean of a·aᵀ: α is in units of one sample's
    energy, and does not depend on how many samples there are.

    With ``when: step`` it is computed as the authors do, from the mean input r of each mini-batch, before the step that
    the mini-batch is for, in the first task too: P ← P − k·kᵀ / (α + rᵀk) with k = P·r. So P counts mini-batches, and
    learning slows down within a task as well; momentum goes on from task to task. Their program for disjoint MNIST lets
    α fall geometrically within each task, in hidden layers only. Without that, nobody has to say where a task ends.

    Args:
        alpha: α, above 0; small: nothing old is touched, and little is learned. Or a list, an α for each layer that is
            not left.
        leave: layers that change freely, as shell patterns of their names.
        samples: of a task to learn from, its first ones; None: all. Of no effect on ``when: step``.
        when: P learns when a task ends, or at every step.
        alpha_end: what α falls to by the end of a task, for ``when: step``; None: it does not.

    Raises:
        ValueError: a number is out of range, ``alpha_end`` does not go with ``when``, or there are not as many as
            layers.
    """

    def __init__(
        self,
        alpha: Annotated[
            float | list[float],
            Field(description="α: small leaves old outputs alone, large learns freely. A list: by layer."),
        ] = 0.1,
        leave: Annotated[list[str] | None, Field(description=LEAVE)] = None,
        samples: Annotated[int | None, Field(ge=1, description="Of a task to learn from; null: all.")] = 10_000,
        when: Annotated[
            Literal["task", "step"],
            Field(description="task: learns when a task ends; step: from the mean of each mini-batch."),
        ] = "task",
        alpha_end: Annotated[
            float | list[float] | None, Field(description="What α falls to within a task, with when: step.")
        ] = None,
    ) -> None:
        if when not in ("task", "step"):
            raise ValueError(f"when must be task or step, not {when!r}")
        if alpha_end is not None and when == "task":
            raise ValueError("alpha_end is for when: step, where alpha can fall within a task")
        for name, value in (("alpha", alpha), ("alpha_end", alpha_end)):
            listed = value if isinstance(value, list) else [value]
            if not listed or any(not (one is None or one > 0) for one in listed):
                raise ValueError(f"{name} must be above 0, not {value}")
        super().__init__(leave, samples)
        self.alpha, self.alpha_end = alpha, alpha if alpha_end is None else alpha_end
        self.sees_steps = when == "step"
        if self.sees_steps and alpha_end is None:
            self.task_info = ("none", "none")
        self.projectors: dict[str, Tensor] = {}
        self._step, self._steps = 0, 1

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with everything let through.

        Raises:
            ValueError: as for any projection, or a list is not as long as there are layers.
        """
        super().attach(ledger, generator)
        self._alpha = by_layer(self.alpha, self.layers, "alpha")
        self._alpha_end = by_layer(self.alpha_end, self.layers, "alpha_end")
        for name, layer in self.layers.items() if self.sees_steps else ():
            weight = layer.get_parameter("weight")
            self.remember(name, torch.eye(weight[0].numel() + 1, dtype=weight.dtype, device=weight.device))

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Know how far the task has gone."""
        self._step, self._steps = epoch * steps, epochs * steps

    def before_step(self) -> None:
        """Learn from the step's inputs, if asked, and take out of the gradients what is not let through."""
        super().before_step()
        self._step += 1

    def see(self, name: str, rows: Tensor) -> None:
        """Take the direction of the mean input out of P."""
        start, end = self._alpha[name], self._alpha_end[name]
        alpha = start * (end / start) ** min(1.0, self._step / self._steps)
        projector, r = self.projectors[name], rows.mean(0)
        k = projector @ r
        projector.addr_(k, k / (alpha + r @ k), alpha=-1)

    def learn(self, name: str, moments: Tensor, task: int) -> Tensor:
        """Return the sum over tasks of the second moments, C."""
        return moments if name not in self.memory else moments + self.memory[name]

    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Learn the task's inputs, unless that was done step by step."""
        if not self.sees_steps:
            super().after_task(task, batches)

    def remember(self, name: str, memory: Tensor) -> None:
        """Keep C, and make P of it; or keep P."""
        super().remember(name, memory)
        if self.sees_steps:
            self.memory[name] = self.projectors[name] = memory.clone()  # it changes in place
            return
        whole = memory.double() / self._alpha[name]
        whole.diagonal().add_(1.0)
        self.projectors[name] = torch.cholesky_inverse(torch.linalg.cholesky(whole)).to(memory.dtype)

    def through(self, name: str, rows: Tensor) -> Tensor:
        """Return rows · P."""
        return rows @ self.projectors[name].to(rows.dtype)

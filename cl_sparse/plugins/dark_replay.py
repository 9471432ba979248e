"""DER++: stored samples with what the net said of them when they were stored."""

from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.data.drawn import drawn_generator
from cl_sparse.plugins.base import Plugin, loss_of
from cl_sparse.synapses.passes import logits_of


class DarkReplay(Plugin):
    """Dark experience replay++ (Buzzega et al. 2020, eq. 6).

    The memory is a reservoir of all samples trained on (each has the same chance), with their logits of that moment.
    The loss gets alpha·mean((logits − stored logits)²) over a mini-batch drawn from it and beta·(the training loss)
    over another. No task boundaries are used.

    Works on any Avalanche stream whose samples are tensors of one shape.

    Args:
        mem_size: samples kept.
        batch_size_mem: stored samples in each of the two mini-batches; None: as the mini-batch.
        alpha: strength of the first part, at least 0.
        beta: strength of the second part, at least 0.

    Raises:
        ValueError: a number is out of range.
    """

    looks_at_weights = False

    def __init__(
        self, mem_size: int = 200, batch_size_mem: int | None = None, alpha: float = 0.5, beta: float = 0.5
    ) -> None:
        super().__init__()
        if mem_size < 1 or (batch_size_mem is not None and batch_size_mem < 1):
            raise ValueError("mem_size and batch_size_mem must be at least 1")
        if not alpha >= 0 or not beta >= 0:
            raise ValueError(f"alpha and beta must be at least 0, not {alpha} and {beta}")
        self.mem_size, self.batch_size_mem, self.alpha, self.beta = mem_size, batch_size_mem, alpha, beta
        self.seen = 0
        self.memory: list[Tensor] = []  # x, y, task labels, logits

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Draw anew."""
        self._generator = drawn_generator()

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Add the two parts; then the mini-batch may enter the memory."""
        if self.memory and self.alpha:
            *batch, logits = self._draw(strategy.train_mb_size)
            strategy.loss = strategy.loss + self.alpha * nn.functional.mse_loss(
                logits_of(strategy.model, tuple(batch)), logits
            )
        if self.memory and self.beta:
            *batch, _ = self._draw(strategy.train_mb_size)
            logits = logits_of(strategy.model, tuple(batch))
            strategy.loss = strategy.loss + self.beta * loss_of(strategy, logits, batch[1])
        self._store(strategy.mb_x, strategy.mb_y, strategy.mb_task_id, strategy.mb_output.detach())

    def _draw(self, size: int) -> list[Tensor]:
        n = len(self.memory[0])
        chosen = torch.randperm(n, generator=self._generator)[: self.batch_size_mem or size].to(self.memory[0].device)
        return [part[chosen] for part in self.memory]

    def _store(self, *batch: Tensor) -> None:
        """Reservoir sampling: the n-th sample takes place number floor(u·n), if there is such a place."""
        if not self.memory:
            self.memory = [part[:0].clone() for part in batch]
        n = len(batch[0])
        free = min(n, self.mem_size - len(self.memory[0]))
        if free > 0:
            self.memory = [torch.cat([kept, part[:free]]) for kept, part in zip(self.memory, batch, strict=True)]
        numbers = torch.arange(self.seen + free, self.seen + n) + 1
        places = (torch.rand(len(numbers), generator=self._generator, dtype=torch.double) * numbers).long()
        for sample in (places < self.mem_size).nonzero().flatten().tolist():
            for kept, part in zip(self.memory, batch, strict=True):
                kept[places[sample]] = part[free + sample]
        self.seen += n

    def state_dict(self) -> dict[str, Any]:
        """Return the memory."""
        return {"seen": self.seen, "memory": self.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.seen, self.memory = state["seen"], list(state["memory"])

    def carried_bytes(self) -> int:
        """Return the bytes of samples, labels and logits."""
        return sum(part.nbytes for part in self.memory)

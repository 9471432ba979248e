"""A-GEM: a step must not raise the mean loss of stored samples."""

from typing import Any

import torch
from torch import Tensor

from cl_sparse.data.drawn import drawn_generator
from cl_sparse.plugins.base import loss_of
from cl_sparse.plugins.replay import Replay
from cl_sparse.synapses import observing
from cl_sparse.synapses.passes import logits_of


class AveragedGradient(Replay):
    """Averaged gradient episodic memory (Chaudhry, Ranzato, Rohrbach and Elhoseiny 2019, "A-GEM").

    Samples are stored as ``Replay`` stores them. At each step the gradient g_ref of the loss of a mini-batch of them,
    drawn anew, is compared with the gradient g: where g·g_ref < 0, g becomes g − (g·g_ref / g_ref·g_ref)·g_ref (eq.
    11), in all parameters, heads of earlier tasks included. What an optimizer remembers is not projected. Looking at
    stored samples moves no duty cycle and drops no unit.

    Args:
        mem_size: samples kept, an equal share for every task seen.
        batch_size_mem: stored samples looked at in each step; None: as the mini-batch.

    Raises:
        ValueError: a size is below 1.
    """

    looks_at_weights = True

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Meet the stream.

        Raises:
            ValueError: it is not one of ours, or another than the memory's.
        """
        self.meet(strategy.adapted_dataset)
        if self.stream is None:
            raise ValueError("AveragedGradient needs a stream of the package benchmarks")
        self._generator = drawn_generator()

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        """Project the gradient, where it would raise the loss of what is stored."""
        if not self.memory:
            return
        parameters = [parameter for parameter in strategy.model.parameters() if parameter.requires_grad]
        reference = self._reference(strategy, parameters)
        along = _dot([(p.grad, r) for p, r in zip(parameters, reference, strict=True)])
        if along < 0:
            share = along / _dot([(r, r) for r in reference])
            for parameter, part in zip(parameters, reference, strict=True):
                if part is not None:
                    parameter.grad = -share * part if parameter.grad is None else parameter.grad - share * part

    def _reference(self, strategy: Any, parameters: list[torch.nn.Parameter]) -> list[Tensor | None]:
        memory = torch.cat(self.memory)
        size = min(len(memory), self.batch_size_mem or strategy.train_mb_size)
        assert self.stream is not None
        batch = self.stream.batch(memory[torch.randperm(len(memory), generator=self._generator)[:size]])
        with observing(strategy.model):
            loss = loss_of(strategy, logits_of(strategy.model, batch), batch[1])
        return list(torch.autograd.grad(loss, parameters, allow_unused=True))


def _dot(pairs: list[tuple[Tensor | None, Tensor | None]]) -> Tensor:
    parts = [(a * b).sum() for a, b in pairs if a is not None and b is not None]
    return torch.stack(parts).sum() if parts else torch.zeros(())

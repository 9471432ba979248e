"""Stops a run whose loss is no longer a number."""

from typing import Any

import torch

from cl_sparse.plugins.base import Plugin


class DivergedError(RuntimeError):
    """The training loss became NaN or infinite. The message says at which task, epoch and step."""


class StopOnDivergence(Plugin):
    """Raise :class:`DivergedError` at the first step whose loss is not finite, before it reaches the weights."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Check the loss of the current mini-batch."""
        if torch.isfinite(strategy.loss).all():
            return
        clock = strategy.clock
        raise DivergedError(
            f"the loss is {strategy.loss.item()} in task {strategy.experience.current_experience}, "
            f"epoch {clock.train_exp_epochs}, step {clock.train_epoch_iterations} (all counted from 0)"
        )

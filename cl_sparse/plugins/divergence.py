"""Stops a run whose loss is no longer a number."""

import math
from typing import Any

from cl_sparse.plugins.base import Plugin


class DivergedError(RuntimeError):
    """The training loss, or a solution, became NaN or infinite. The message says where."""


class StopOnDivergence(Plugin):
    """Raise :class:`DivergedError` at the first step whose loss is not finite, before it reaches the weights."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Check the loss of the current mini-batch."""
        loss = strategy.loss.item()
        if math.isfinite(loss):
            return
        clock = strategy.clock
        raise DivergedError(
            f"the loss is {loss} in task {strategy.experience.current_experience}, "
            f"epoch {clock.train_exp_epochs}, step {clock.train_epoch_iterations} (all counted from 0)"
        )

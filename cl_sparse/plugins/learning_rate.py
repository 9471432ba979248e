"""A learning rate that falls within each task, and starts anew with the next."""

from typing import Any

from cl_sparse.plugins.base import Plugin


class DecayLearningRate(Plugin):
    """Let the learning rate fall linearly, step by step, within each task.

    Args:
        to: share of the rate that is left at a task's last step, 0 to 1.

    Raises:
        ValueError: it is out of range.
    """

    # Not of the method, but idle units of nets that compute what wins would have to take their steps at every change.
    looks_at_weights = True

    def __init__(self, to: float = 0.0) -> None:
        super().__init__()
        if not 0 <= to <= 1:
            raise ValueError(f"to must be from 0 to 1, not {to}")
        self.to = to
        self._rates: list[float] = []
        self._step = 0

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Note where it starts."""
        self._rates = [group["lr"] for group in strategy.optimizer.param_groups]
        self._step = 0

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Set the rate of the step that follows."""
        steps = strategy.train_epochs * len(strategy.dataloader)
        share = 1 - (1 - self.to) * self._step / max(1, steps - 1)
        for group, rate in zip(strategy.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self._step += 1

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Set it back."""
        for group, rate in zip(strategy.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate

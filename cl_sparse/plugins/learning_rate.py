"""Learning rates that fall within each task, and start anew with the next."""

from collections.abc import Sequence
from typing import Any

from cl_sparse.plugins.base import Plugin


class DecayLearningRate(Plugin):
    """Let the learning rate fall linearly, step by step, within each task.

    Args:
        to: share of the rate that is left at a task's last step, 0 to 1.
        warm_up: steps at the start of each task over which the rate rises to where it would be, linearly, step t by
            t/warm_up of it: a new task's first gradients are large, and what they move may matter to old tasks.

    Raises:
        ValueError: a number is out of range.
    """

    # Not of the method, but idle units of nets that compute what wins would have to take their steps at every change.
    looks_at_weights = True

    def __init__(self, to: float = 0.0, warm_up: int = 0) -> None:
        super().__init__()
        if not 0 <= to <= 1 or warm_up < 0:
            raise ValueError(f"to must be from 0 to 1, warm_up at least 0, not {to} and {warm_up}")
        self.to, self.warm_up = to, warm_up
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
        self._step += 1
        share *= min(1.0, self._step / max(1, self.warm_up))
        for group, rate in zip(strategy.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Set it back."""
        for group, rate in zip(strategy.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate


class StepLearningRate(Plugin):
    """Multiply the learning rate by a factor after some epochs of each task, as torch's ``MultiStepLR``.

    Args:
        after: the epochs of a task, counted from 1, that the rate falls behind; None: 30, 60, 90.
        factor: what it is multiplied by each time.

    Raises:
        ValueError: one of them is out of range.
    """

    # As above.
    looks_at_weights = True

    def __init__(self, after: Sequence[int] | None = None, factor: float = 0.1) -> None:
        super().__init__()
        self.after, self.factor = [30, 60, 90] if after is None else list(after), factor
        if not 0 <= factor <= 1 or any(epoch < 1 for epoch in self.after):
            raise ValueError(f"factor must be from 0 to 1, epochs at least 1, not {factor} and {self.after}")
        self._rates: list[float] = []

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Note where it starts."""
        self._rates = [group["lr"] for group in strategy.optimizer.param_groups]

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Set the rate of the epoch that follows."""
        fallen = sum(epoch <= strategy.clock.train_exp_epochs for epoch in self.after)
        for group, rate in zip(strategy.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * self.factor**fallen

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Set it back."""
        for group, rate in zip(strategy.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate

"""Tells a progress bar how many training steps are done."""

from collections.abc import Callable
from typing import Any

from cl_sparse.plugins.base import Plugin


class ReportProgress(Plugin):
    """Call ``advance(steps)`` every few training steps, and count steps and samples trained on."""

    EVERY = 10  # steps; a bar needs no more, and small nets take less than a millisecond per step

    def __init__(self, advance: Callable[[int], object]) -> None:
        """Report to ``advance``."""
        super().__init__()
        self.advance = advance
        self.steps = 0
        self.samples = 0

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Count anew for each task."""
        self.steps = self.samples = 0

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Count the step, and report every tenth."""
        self.steps += 1
        self.samples += len(strategy.mb_y)
        if self.steps % self.EVERY == 0:
            self.advance(self.EVERY)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Report the steps since the last report."""
        self.advance(self.steps % self.EVERY)

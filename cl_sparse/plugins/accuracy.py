"""Counts right answers per task during evaluation."""

from typing import Any

import numpy as np
import torch

from cl_sparse.plugins.base import Plugin


class AccuracyRecorder(Plugin):
    """Count, for every task, the test samples seen and those classified rightly.

    A sample's task is the experience it is tested in: its own task label tells it in task-incremental streams only.
    Each sample that passes counts exactly once.
    """

    def __init__(self, n_tasks: int) -> None:
        """Count for tasks 0 .. ``n_tasks`` - 1."""
        super().__init__()
        self.n_tasks = n_tasks
        self.right = torch.zeros(n_tasks, dtype=torch.long)
        self.seen = torch.zeros(n_tasks, dtype=torch.long)

    def before_eval(self, strategy: Any, **kwargs: Any) -> None:
        """Start counting from zero."""
        self.right.zero_()
        self.seen.zero_()

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Count the batch just classified."""
        task = strategy.experience.current_experience
        right = strategy.mb_output.argmax(dim=1) == strategy.mb_y
        self.right[task] += int(right.sum())
        self.seen[task] += len(right)

    def accuracies(self) -> np.ndarray:
        """Return the accuracy per task, float64 (n_tasks,); NaN for a task of which no sample was seen."""
        right, seen = self.right.double().numpy(), self.seen.double().numpy()
        accuracies: np.ndarray = np.divide(right, seen, out=np.full(self.n_tasks, np.nan), where=seen > 0)
        return accuracies

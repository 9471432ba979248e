"""Measures R² per task during evaluation, where targets are numbers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cl_sparse.plugins.base import Plugin


class Fit:
    """Sums over predictions and targets, mini-batch by mini-batch.

    Attributes:
        n: samples seen.
    """

    def __init__(self) -> None:
        self.n = 0
        self._sums = torch.zeros(3, dtype=torch.float64)  # of errors squared, targets, targets squared

    def add(self, predictions: Tensor, targets: Tensor) -> None:
        """Take in a mini-batch, (B,) each."""
        y, wrong = targets.double(), targets.double() - predictions.double()
        self.n += len(y)
        self._sums += torch.stack([wrong.square().sum(), y.sum(), y.square().sum()]).cpu()

    def r2(self) -> float:
        """Return R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)², ȳ the mean of the targets; NaN if nothing was seen, or all alike."""
        wrong, total, squares = self._sums.tolist()
        spread = squares - total**2 / self.n if self.n else 0.0
        return 1 - wrong / spread if spread > 0 else float("nan")


class FitRecorder(Plugin):
    """Measure R² of the one output for every task: what ``AccuracyRecorder`` is for classes.

    A sample's task is the experience it is tested in. Each sample that passes counts exactly once.
    """

    def __init__(self, n_tasks: int) -> None:
        """Measure for tasks 0 .. ``n_tasks`` - 1."""
        super().__init__()
        self.fits = [Fit() for _ in range(n_tasks)]

    def before_eval(self, strategy: Any, **kwargs: Any) -> None:
        """Start from nothing."""
        self.fits = [Fit() for _ in self.fits]

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Take in the batch just predicted."""
        self.fits[strategy.experience.current_experience].add(strategy.mb_output[:, 0], strategy.mb_y)

    def accuracies(self) -> np.ndarray:
        """Return R² per task, float64 (n_tasks,); NaN for a task of which no sample was seen."""
        return np.array([fit.r2() for fit in self.fits])

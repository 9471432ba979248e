"""Tests a learner on tasks; leaves it and every random generator as they were."""

from collections.abc import Sequence

import numpy as np
import torch

from cl_sparse.plugins import AccuracyRecorder
from cl_sparse.strategies import Learner


def accuracy_row(learner: Learner, recorder: AccuracyRecorder, experiences: Sequence[object]) -> np.ndarray:
    """Return the accuracy per task on ``experiences``, float64 (n_tasks,); NaN for tasks not among them.

    ``learner.eval`` is used, so that plugins which act at test time take part.
    """
    devices = [learner.device] if learner.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        learner.eval(experiences)
    return recorder.accuracies()

"""Tests a learner on tasks; leaves it and every random generator as they were."""

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.base import Benchmark
from cl_sparse.plugins import AccuracyRecorder, FitRecorder
from cl_sparse.strategies import Learner

Recorder = AccuracyRecorder | FitRecorder
"""Records the score that the benchmark names."""


def recorder_for(benchmark: Benchmark) -> Recorder:
    """Return what records each task's score: its accuracy, or R² where targets are numbers."""
    return (FitRecorder if benchmark.score == "r2" else AccuracyRecorder)(benchmark.n_tasks)


def accuracy_row(learner: Learner, recorder: Recorder, experiences: Sequence[object]) -> np.ndarray:
    """Return the accuracy, or R², per task on ``experiences``, float64 (n_tasks,); NaN for tasks not among them.

    ``learner.eval`` is used, so that plugins which act at test time take part.
    """
    devices = [learner.device] if learner.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        learner.eval(experiences)
    return recorder.accuracies()

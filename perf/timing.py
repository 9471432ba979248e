"""Interleaved timing: every contender runs once per round, in turn, so that a slow minute hits all alike."""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.base import Benchmark
from cl_sparse.config import ExperimentConfig
from cl_sparse.run.one_run import Observer, Run


@dataclass(frozen=True)
class Timing:
    """Seconds per round of one contender."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def seconds_a_step(config: ExperimentConfig, benchmark: Benchmark, task: int) -> float:
    """Return what a training step of a task takes as the runner trains it, what is computed at its end included."""
    run = Run(config, benchmark, 0, torch.device("cpu"), Observer())
    with tempfile.TemporaryDirectory() as folder:
        stats = run.run(Path(folder) / "checkpoint.pt")
    return float(stats["seconds"]["train"][task] / stats["steps"][task])


def interleave(contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, Timing]:
    """Run every contender ``warm_up`` untimed and ``rounds`` timed times, in turn; return the times per contender."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for done in range(warm_up + rounds):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            if done >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(times)) for name, times in seconds.items()}


def ratio(timings: Mapping[str, Timing], numerator: str, denominator: str) -> float:
    """Return the median over the rounds of one contender's time divided by the other's in the same round."""
    pairs = zip(timings[numerator].seconds, timings[denominator].seconds, strict=True)
    return statistics.median(a / b for a, b in pairs)

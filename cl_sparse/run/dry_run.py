"""How long will it take? Times a few steps of every experiment instead of running it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from cl_sparse.config import ExperimentConfig
from cl_sparse.errors import UserError
from cl_sparse.plugins import DivergedError, Plugin
from cl_sparse.run import build
from cl_sparse.run.devices import keep_freed_memory
from cl_sparse.run.evaluate import accuracy_row, recorder_for
from cl_sparse.run.methods import strategy_of
from cl_sparse.run.progress import planned_steps
from cl_sparse.run.terminal import print_whole

STEPS = 20
WARM_UP = 3


@dataclass(frozen=True)
class Estimate:
    """What one run of an experiment is expected to take, in seconds and optimizer steps."""

    steps: int
    seconds_per_step: float
    test_seconds: float

    @property
    def hours(self) -> float:
        """Training and testing together."""
        return (self.steps * self.seconds_per_step + self.test_seconds) / 3600


class Stopwatch(Plugin):
    """Times ``STEPS`` training steps after ``WARM_UP`` untimed ones, then ends the training."""

    def __init__(self) -> None:
        """Wait for the first step."""
        super().__init__()
        self.steps = 0
        self.start = time.perf_counter()
        self.seconds_per_step = float("nan")

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Start the clock after the warm-up."""
        if self.steps == WARM_UP:
            _synchronize(strategy.device)
            self.start = time.perf_counter()

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Read the clock; stop after the last timed step."""
        self.steps += 1
        if self.steps > WARM_UP:
            _synchronize(strategy.device)
            self.seconds_per_step = (time.perf_counter() - self.start) / (self.steps - WARM_UP)
        if self.steps == WARM_UP + STEPS:
            strategy.stop_training()


def estimate(config: ExperimentConfig, seed: int, data_root: Path | None, device: torch.device) -> Estimate:
    """Time a few training steps and the test of one task; extrapolate to one run of the experiment."""
    keep_freed_memory()
    benchmark = build.build_benchmark(config, seed, data_root).to(device)
    watch, recorder = Stopwatch(), recorder_for(benchmark)
    model = build.build_model(config, benchmark, seed, device).to(device)
    learner = build.build_learner(config, model, benchmark, seed, device, probes=[watch, recorder])
    learner.train_epochs = WARM_UP + STEPS
    try:
        learner.train(benchmark.train_stream[-1], eval_streams=[])
    except DivergedError as error:
        raise UserError(f"{config.name}: cannot be timed: {error}") from error
    start = time.perf_counter()
    accuracy_row(learner, recorder, benchmark.test_stream[:1])
    _synchronize(device)
    rows = 1 if strategy_of(config).trains_once else benchmark.n_tasks // config.eval_every
    tests = (rows + 1) * benchmark.n_tasks
    return Estimate(planned_steps(config, benchmark), watch.seconds_per_step, tests * (time.perf_counter() - start))


def print_estimates(
    configs: Sequence[tuple[ExperimentConfig, int]],
    data_root: Path | None,
    device: torch.device,
    console: Console,
    runs: str = "seeds",
) -> None:
    """Print a table of the estimated hours per experiment; ``configs`` pairs each with the ``runs`` still to make."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("experiment", runs, "steps per run", "ms per step", "hours per run", "hours in all"):
        table.add_column(head, no_wrap=True, justify="left" if head == "experiment" else "right")
    total = 0.0
    for config, seeds in configs:
        guess = estimate(config, 0, data_root, device)
        total += guess.hours * seeds
        table.add_row(
            config.name,
            str(seeds),
            str(guess.steps),
            f"{1000 * guess.seconds_per_step:.2f}",
            f"{guess.hours:.4f}",
            f"{guess.hours * seeds:.4f}",
        )
    print_whole(table, console)
    console.print(f"estimated: {total:.3f} hours in all; nothing was trained or written")


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""An epoch of a small net in Avalanche's own strategies, with its loaders and with whole mini-batches."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.supervised import EWC, LwF, Naive, Replay

from benchmarks.base import Benchmark
from cl_sparse.plugins import FastLoading
from perf.data_path import TASKS, bare_loop, stream
from perf.timing import Timing, ratio

BARE = "bare loop"
STRATEGIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "Naive": (Naive, {}),
    "EWC": (EWC, {"ewc_lambda": 1.0, "mode": "online", "decay_factor": 0.5}),
    "LwF": (LwF, {"alpha": 1.0, "temperature": 2.0}),
    "Replay": (Replay, {"mem_size": 2000}),
}


class Stopwatch(SupervisedPlugin, supports_distributed=False):  # type: ignore[call-arg,misc]  # as Plugin
    """Times each training epoch, without what a method does before and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.started = self.seconds = 0.0

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:  # noqa: ARG002 (a hook)
        self.started = time.perf_counter()

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:  # noqa: ARG002 (a hook)
        self.seconds = time.perf_counter() - self.started


def epoch(benchmark: Benchmark, name: str, *plugins: Any) -> Callable[[], float]:
    """Return what trains an epoch on the last task, after one on each before, and returns the epoch's seconds."""
    kind, arguments = STRATEGIES[name]
    net, watch = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)), Stopwatch()
    strategy = kind(
        model=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=128,
        train_epochs=1,
        plugins=[*plugins, watch],
        evaluator=None,
        **arguments,
    )
    for experience in benchmark.train_stream[: TASKS - 1]:
        strategy.train(experience, eval_streams=[])

    def last() -> float:
        strategy.train(benchmark.train_stream[TASKS - 1], eval_streams=[])
        return watch.seconds

    return last


def timed(work: Callable[[], None]) -> Callable[[], float]:
    """Return the same, returning its seconds."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return each strategy's epoch with Avalanche's loaders and with whole mini-batches, and their ratio."""
    warnings.filterwarnings("ignore", module=r"avalanche\..*")
    benchmark = stream()
    contenders = {BARE: timed(bare_loop(benchmark))}
    for name in STRATEGIES:
        contenders[name] = epoch(benchmark, name)
        contenders[f"{name}, FastLoading"] = epoch(benchmark, name, FastLoading())
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for done in range(1 + rounds):
        for name, contender in contenders.items():
            took = contender()
            if done:  # the first is a warm-up
                seconds[name].append(took)
    timings = {name: Timing(tuple(times)) for name, times in seconds.items()}

    def row(name: str) -> dict[str, object]:
        fast = f"{name}, FastLoading"
        return {
            "epoch of 784-256-10": name,
            "Avalanche's loaders: s": f"{timings[name].median:.3f}",
            "FastLoading: s": f"{timings[fast].median:.3f}",
            "x bare loop": f"{ratio(timings, fast, BARE):.2f}",
            "x faster": f"{ratio(timings, name, fast):.2f}",
        }

    return [row(name) for name in STRATEGIES]

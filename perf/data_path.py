"""An epoch of a small net through the learner, beside a bare loop over the same tensors and Avalanche's own loader."""

import warnings
from collections.abc import Callable

import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.training.plugins import ReplayPlugin, SupervisedPlugin
from avalanche.training.supervised import Naive
from avalanche.training.templates import SupervisedTemplate

from benchmarks.base import Benchmark
from cl_sparse.config import build_config
from cl_sparse.data.image_data import make_image_data
from cl_sparse.models import SimpleMLP, SingleHead
from cl_sparse.plugins import Cumulative
from cl_sparse.run.one_run import Observer, Run
from perf.timing import interleave, ratio

SAMPLES = 60_000
TASKS = 2
NET = {"hidden_units": 256, "dropout": 0.0, "mb_size": 128, "train_ep": 1, "nesterov": False}


def stream() -> Benchmark:
    """Return two permuted tasks of random bytes in MNIST's shape: speed does not depend on the pictures."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (SAMPLES, 1, 28, 28), dtype=torch.uint8, generator=generator)
    y = torch.randint(10, (SAMPLES,), generator=generator)
    names = [str(c) for c in range(10)]
    data = make_image_data("random", (x, y), (x[:1000], y[:1000]), names, "random bytes", mean=(33.3,), std=(78.6,))
    return Benchmark(data, name="random", scenario="domain", task_classes=[list(range(10))] * TASKS, options={})


def bare_loop(benchmark: Benchmark) -> Callable[[], None]:
    """Return one epoch of plain PyTorch over the same uint8 tensors: gather, normalise, step."""
    tensors = benchmark.tensors["train"]
    x, y = tensors.x.flatten(1), tensors.y
    net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)
    loss_of = nn.CrossEntropyLoss()

    def epoch() -> None:
        for rows in torch.split(torch.randperm(len(x)), 128):
            batch = x[rows].float().sub_(33.3).div_(78.6)
            optimizer.zero_grad()
            loss_of(net(batch), y[rows]).backward()
            optimizer.step()

    return epoch


def learner_epoch(benchmark: Benchmark, **changes: object) -> Callable[[], None]:
    """Return one epoch on the last task through the runner's learner, after one on each task before it."""
    changes = {"benchmark": "PermutedMNIST", "num_batch": TASKS, **changes}
    config = build_config("perf", {**NET, **changes})
    return last_epoch(Run(config, benchmark, 0, torch.device("cpu"), Observer()).learner, benchmark)


def avalanche_epoch(benchmark: Benchmark, *plugins: SupervisedPlugin) -> Callable[[], None]:
    """Return the same through Avalanche's own strategy and loaders."""
    net = SimpleMLP((1, 28, 28), lambda features: SingleHead(features, 10), hidden_units=256)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)
    strategy = Naive(
        model=net,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=128,
        train_epochs=1,
        plugins=list(plugins),
        evaluator=None,
    )
    return last_epoch(strategy, benchmark)


def last_epoch(strategy: SupervisedTemplate, benchmark: Benchmark) -> Callable[[], None]:
    """Train one epoch on every task but the last; return one on the last."""
    for experience in benchmark.train_stream[: TASKS - 1]:
        strategy.train(experience, eval_streams=[])
    return lambda: strategy.train(benchmark.train_stream[TASKS - 1], eval_streams=[])


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return, for plain, cumulative and replay training, the ratios to the bare loop and to Avalanche's loaders."""
    warnings.filterwarnings("ignore", module=r"avalanche\..*")
    benchmark = stream()
    contenders = {
        "bare loop": bare_loop(benchmark),
        "learner": learner_epoch(benchmark, record_stats=False),
        "learner with statistics": learner_epoch(benchmark),
        "Avalanche's loader": avalanche_epoch(benchmark),
        "learner, cumulative": learner_epoch(benchmark, record_stats=False, strategy="cumulative"),
        "Avalanche's loader, cumulative": avalanche_epoch(benchmark, Cumulative()),
        "learner, replay": learner_epoch(benchmark, record_stats=False, plugins=[{"name": "replay", "mem_size": 2000}]),
        "Avalanche's loader, replay": avalanche_epoch(benchmark, ReplayPlugin(mem_size=2000)),
    }
    timings = interleave(contenders, rounds)

    def row(name: str) -> dict[str, object]:
        own, _, method = name.partition(", ")
        peer = f"Avalanche's loader, {method}" if method else "Avalanche's loader"
        faster = f"{ratio(timings, peer, name):.2f}" if own.startswith("learner") else ""
        bare = "" if method else f"{ratio(timings, name, 'bare loop'):.3f}"
        seconds = f"{timings[name].median:.3f}"
        return {"epoch of 784-256-10": name, "seconds": seconds, "x bare loop": bare, "x faster than Avalanche": faster}

    return [row(name) for name in contenders]

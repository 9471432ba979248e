"""An epoch of SET at ε = 20 on 784-1000-1000-1000-10: our sparse layers beside SET's own arithmetic and dense nets."""

from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.layers import SparseLinear, SparseWeights, rezero_weights
from cl_sparse.synapses import DynamicConnectivity, Ledger, distribute_synapses
from perf.scipy_set import ScipySET
from perf.timing import Timing, interleave, ratio
from perf.winners import batches

WIDTHS = [784, 1000, 1000, 1000, 10]
EPSILON = 20
STEPS, EPOCH = 8, 469  # timed steps per round; those of an epoch of MNIST
SGD: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "weight_decay": 2e-4}
SCIPY, LIVE, MASKED, DENSE, HALF = "SET in SciPy", "live synapses", "masked", "dense fp32", "dense bf16"


def net(layer: Callable[[int, int], nn.Module]) -> nn.Sequential:
    """Return the net of layers that are made from inputs and units; the last is small enough to have all weights."""
    layers: list[nn.Module] = []
    for inputs, units in pairwise(WIDTHS[:-1]):
        layers += [layer(inputs, units), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTHS[-2], WIDTHS[-1]))


def sparse_net(kind: str) -> nn.Sequential:
    """Return our net with ε·(inputs + units) synapses in each hidden layer."""
    made = net(_live if kind == LIVE else _masked)
    distribute_synapses(made, "erdos_renyi", epsilon=EPSILON)
    return made


def _live(inputs: int, units: int) -> nn.Module:
    return SparseLinear(inputs, units, density=0.04)


def _masked(inputs: int, units: int) -> nn.Module:
    return SparseWeights(nn.Linear(inputs, units), weight_sparsity=0.04)


def contenders() -> tuple[dict[str, Callable[[], None]], dict[str, Callable[[], None]]]:
    """Return by name what takes ``STEPS`` steps, and what moves the connections once."""
    torch.manual_seed(0)
    data = batches()[:STEPS]
    scipy = ScipySET(WIDTHS, EPSILON)
    arrays = [(x.numpy(), y.numpy()) for x, y in data]

    def scipy_steps() -> None:
        for x, y in arrays:
            scipy.step(x, y)

    steps, moves = {SCIPY: scipy_steps}, {SCIPY: scipy.evolve}
    for name in (LIVE, MASKED, DENSE, HALF):
        model = sparse_net(name) if name in (LIVE, MASKED) else net(nn.Linear)
        optimizer = torch.optim.SGD(model.parameters(), **SGD, fused=True)
        steps[name] = _steps(model, optimizer, data, half=name == HALF)
        if name in (LIVE, MASKED):
            moves[name] = _move(model, optimizer)
    return steps, moves


def _move(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    ledger = Ledger(model, optimizer)
    ledger.attach(DynamicConnectivity())
    ledger.before_task(0)
    return lambda: ledger.before_epoch(1, 2, STEPS)


def _steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: list[tuple[Tensor, Tensor]], half: bool
) -> Callable[[], None]:
    def steps() -> None:
        for x, y in data:
            with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
                loss: Tensor = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            rezero_weights(model)

    return steps


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return the times of a step, of moving connections and of the epoch that they make, and how SET's compares."""
    steps, moves = contenders()
    timings, moving = interleave(steps, rounds), interleave(moves, rounds)
    epochs = {name: _epoch(timings[name], moving.get(name)) for name in timings}
    return [
        {
            "case": f"{'-'.join(map(str, WIDTHS))}, ε = {EPSILON}",
            "net": name,
            "step ms": round(1e3 * timing.median / STEPS, 2),
            "moving ms": round(1e3 * moving[name].median, 1) if name in moving else "",
            "epoch s": round(epochs[name].median, 1),
            "faster than SET in SciPy": round(ratio(epochs, SCIPY, name), 1),
        }
        for name, timing in timings.items()
    ]


def _epoch(step: Timing, move: Timing | None) -> Timing:
    """Return the seconds of an epoch's steps, with connections moved once, round by round."""
    moves = (0.0,) * len(step.seconds) if move is None else move.seconds
    return Timing(tuple(EPOCH / STEPS * a + b for a, b in zip(step.seconds, moves, strict=True)))

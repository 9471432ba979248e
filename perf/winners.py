"""Training steps with .1 % winners: computing what wins, beside masks over dense layers and dense nets."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.models import SimpleMLP, SingleHead
from cl_sparse.models.compute import Compute
from cl_sparse.synapses import LazySGD
from perf import peers
from perf.machine import bandwidth, peak_multiply_adds
from perf.timing import interleave, ratio

INPUTS, CLASSES, BATCH, BATCHES = 784, 10, 128, 16
FOREGROUND = 0.19  # share of pixels that are not background, as in MNIST
DROPOUT = 0.5
WIDTH, WINNERS = 4000, 4
STEPS = 5  # per round
SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}


def batches() -> list[tuple[Tensor, Tensor]]:
    """Return mini-batches of random pictures, normalised like MNIST's."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(BATCHES):
        x = torch.rand(BATCH, INPUTS, generator=generator)
        x[torch.rand(BATCH, INPUTS, generator=generator) >= FOREGROUND] = 0
        found.append(((x - 0.1307) / 0.3081, torch.randint(CLASSES, (BATCH,), generator=generator)))
    return found


def ours(layers: int, compute: Compute, width: int = WIDTH, winners: int = WINNERS) -> nn.Module:
    """Return the package's own net."""
    return SimpleMLP(
        (INPUTS,),
        lambda features: SingleHead(features, CLASSES),
        hidden_units=width,
        hidden_layers=layers,
        sparsify=True,
        percent_on_fc=winners / width,
        boost_strength=1.4,
        dropout=DROPOUT,
        compute=compute,
    )


def steps_of(net: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Return a function that takes ``STEPS`` training steps."""
    data, at = batches(), 0

    def steps() -> None:
        nonlocal at
        for _ in range(STEPS):
            x, y = data[at % len(data)]
            at += 1
            loss: Tensor = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()

    return steps


def contenders(layers: int) -> dict[str, Callable[[], None]]:
    """Return all contenders of one case by name."""
    torch.manual_seed(0)
    widths = [INPUTS, *[WIDTH] * layers, CLASSES]
    nets: dict[str, tuple[nn.Module, type[torch.optim.SGD], dict[str, Any]]] = {
        "reference masked": (peers.net(widths, WINNERS, DROPOUT), torch.optim.SGD, {}),
        "our masks, fused SGD": (ours(layers, "reference"), torch.optim.SGD, {"fused": True}),
        "dense ReLU": (peers.net(widths, None, DROPOUT), torch.optim.SGD, {}),
        "dense ReLU, fused SGD": (peers.net(widths, None, DROPOUT), torch.optim.SGD, {"fused": True}),
        "winners": (ours(layers, "winners"), LazySGD, {}),
    }
    return {name: steps_of(net, make(net.parameters(), **SGD, **more)) for name, (net, make, more) in nets.items()}


def floor(layers: int, multiply_adds: float, bytes_per_second: float) -> float:
    """Return the seconds below which a step of winners cannot come: arithmetic at peak, weights at full bandwidth.

    The first layer multiplies the foreground with all units, and reads and writes all its weights and momenta (in
    memory once: what the caches hold is not counted on). A later layer does so for the inputs that are on in the batch.
    """
    first = BATCH * INPUTS * FOREGROUND * WIDTH
    on = WINNERS * (1 - DROPOUT) * BATCH
    rows = WIDTH * (1 - float(1 - 1 / WIDTH) ** on)
    later = (layers - 1) * on * WIDTH
    moved = 4 * 4 * WIDTH * (INPUTS + (layers - 1) * rows)
    return float(max((first + later) / multiply_adds, moved / bytes_per_second))


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return the times and ratios of both nets."""
    multiply_adds, bytes_per_second = peak_multiply_adds(), bandwidth()
    rows: list[dict[str, object]] = []
    for layers in (1, 2):
        timings = interleave(contenders(layers), rounds)
        least = floor(layers, multiply_adds, bytes_per_second)
        rows += [
            {
                "case": f"784-{'-'.join([str(WIDTH)] * layers)}-10, {WINNERS} winners",
                "contender": name,
                "ms": round(1e3 * timing.median / STEPS, 2),
                "best ms": round(1e3 * min(timing.seconds) / STEPS, 2),
                "ratio to winners": round(ratio(timings, name, "winners"), 2),
                "floor ms": round(1e3 * least, 2),
                "times the floor": round(timing.median / STEPS / least, 1),
            }
            for name, timing in timings.items()
        ]
    return rows

"""What coactivations cost in a training step of the Hebbian study's net, counted at every step or at every tenth."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.layers import rezero_weights
from cl_sparse.models import SimpleMLP, SingleHead
from cl_sparse.synapses import DynamicConnectivity, Ledger
from perf.timing import interleave, ratio
from perf.winners import CLASSES, INPUTS, batches

WIDTH, LAYERS, DENSITY = 100, 3, 0.2
STEPS = 100  # per round
SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}


def study_net() -> nn.Module:
    """Return the net of the study: three hidden layers, normalised, all weights masked."""
    return SimpleMLP(
        (INPUTS,),
        lambda features: SingleHead(features, CLASSES),
        hidden_units=WIDTH,
        hidden_layers=LAYERS,
        sparsify=True,
        weight_sparsity_fc=DENSITY,
        sparsify_head=True,
        batch_norm=True,
    )


def training(update_interval: int | None) -> Callable[[], None]:
    """Return a function that takes ``STEPS`` training steps.

    Args:
        update_interval: steps from one whose coactivations are counted to the next; None: no mechanism at all.
    """
    torch.manual_seed(0)
    net, data = study_net(), batches()
    optimizer = torch.optim.SGD(net.parameters(), **SGD, fused=True)
    ledger = Ledger(net, optimizer)
    if update_interval is not None:
        ledger.attach(DynamicConnectivity({"coactivation": 0.3}, update_interval=update_interval))
    ledger.before_task(0)

    def steps() -> None:
        for step in range(STEPS):
            x, y = data[step % len(data)]
            loss: Tensor = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            rezero_weights(net)
        assert ledger is not None  # alive, as long as its mechanism counts

    return steps


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return the times of a step with coactivations, and their ratios to the step without."""
    intervals = {"none": None, "at every step": 1, "at every tenth step": 10}
    timings = interleave({name: training(interval) for name, interval in intervals.items()}, rounds)
    return [
        {
            "case": f"784-{'-'.join([str(WIDTH)] * LAYERS)}-10, mini-batches of 128",
            "coactivations": name,
            "ms": round(1e3 * timing.median / STEPS, 3),
            "ratio to none": round(ratio(timings, name, "none"), 3),
        }
        for name, timing in timings.items()
    ]

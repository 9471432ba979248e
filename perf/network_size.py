"""What filters cost in a training step, and what removing dead units gives back: time, and bytes held."""

from collections.abc import Callable

import torch
from torch import nn

from cl_sparse.layers import UnitFilter
from cl_sparse.synapses import Ledger, NeuronGC, SparsifiedUnits
from perf import peers
from perf.timing import interleave, ratio
from perf.winners import CLASSES, INPUTS, STEPS, WIDTH, steps_of

DEAD = 0.75


def adam(net: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of the source's experiments."""
    return torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)


def filtered(collect: bool, width: int = WIDTH) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a net with two hidden layers of which three quarters of the units are dead, and its optimizer.

    Args:
        collect: whether they are removed.
        width: units of each layer.
    """
    net, sizes = peers.net([INPUTS, width, width, CLASSES], None, 0.0), SparsifiedUnits()
    sizes.wrap(net, 1)
    optimizer = adam(net)
    ledger = Ledger(net, optimizer)
    ledger.attach(sizes)
    gc = NeuronGC()
    ledger.attach(gc)
    steps_of(net, optimizer)()  # the optimizer has its numbers
    for module in net.modules():
        if isinstance(module, UnitFilter):
            next(module.parameters()).data[: round(DEAD * module.n)] = 0
    if collect:
        gc.collect()
    return net, optimizer


def held(net: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes of parameters and of what the optimizer keeps for them."""
    kept = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    return sum(tensor.nbytes for tensor in (*net.parameters(), *kept))


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return the times of a step and the bytes held: a plain net, one with filters, and one without its dead units."""
    torch.manual_seed(0)
    plain = peers.net([INPUTS, WIDTH, WIDTH, CLASSES], None, 0.0)
    nets = {
        "plain": (plain, adam(plain)),
        "filters": filtered(collect=False),
        "dead units removed": filtered(collect=True),
    }
    contenders: dict[str, Callable[[], None]] = {name: steps_of(*both) for name, both in nets.items()}
    timings = interleave(contenders, rounds)
    return [
        {
            "case": f"784-{WIDTH}-{WIDTH}-10, Adam, {DEAD:.0%} dead",
            "net": name,
            "ms": round(1e3 * timing.median / STEPS, 2),
            "ratio to plain": round(ratio(timings, name, "plain"), 2),
            "MB held": round(held(*nets[name]) / 1e6, 1),
        }
        for name, timing in timings.items()
    ]

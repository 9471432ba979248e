"""What mechanisms cost beside the plain training step: scaled updates, frozen synapses, synaptic intelligence."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from cl_sparse.synapses import Frozen, LazySGD, Ledger, Mechanism, SynapticIntelligence, scale_updates
from perf import peers
from perf.timing import interleave, ratio
from perf.winners import CLASSES, DROPOUT, INPUTS, SGD, STEPS, WIDTH, ours, steps_of

Prepare = Callable[[Ledger], object]
Case = tuple[Callable[[], nn.Module], Callable[[nn.Module], torch.optim.Optimizer], dict[str, Prepare]]


def _halved(ledger: Ledger) -> object:
    return scale_updates(ledger, dict.fromkeys(ledger.parameters(), 0.5))


def _some_frozen(ledger: Ledger) -> object:
    frozen = Frozen(0.5)
    ledger.attach(frozen)
    ledger.after_task(0)
    return frozen


def _with(mechanism: Mechanism) -> Prepare:
    def attach(ledger: Ledger) -> object:
        ledger.attach(mechanism)
        ledger.before_task(0)
        return mechanism

    return attach


def contenders(
    net: Callable[[], nn.Module], make: Callable[[nn.Module], torch.optim.Optimizer], prepare: Mapping[str, Prepare]
) -> dict[str, Callable[[], None]]:
    """Return the plain step and one with each of some mechanisms, all from the same net."""
    found: dict[str, Callable[[], None]] = {}
    for name, change in {"plain": lambda _: None, **prepare}.items():
        torch.manual_seed(0)
        model = net()
        optimizer = make(model)
        change(Ledger(model, optimizer))
        found[name] = steps_of(model, optimizer)
    return found


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return the times of a step with mechanisms, and their ratios to the plain step of the same net."""

    def dense() -> nn.Module:
        return peers.net([INPUTS, WIDTH, CLASSES], None, DROPOUT)

    def winners() -> nn.Module:
        return ours(1, "winners")

    decay_free = SGD | {"weight_decay": 0.0}
    cases: dict[str, Case] = {
        "dense ReLU, fused SGD": (
            dense,
            lambda net: torch.optim.SGD(net.parameters(), **SGD, fused=True),
            {"updates halved": _halved, "half frozen": _some_frozen},
        ),
        "4 winners, LazySGD": (
            winners,
            lambda net: LazySGD(net.parameters(), **decay_free),
            {
                "updates halved": _halved,
                "half frozen": _some_frozen,
                "synaptic intelligence, slow": _with(SynapticIntelligence(mode="slow")),
            },
        ),
    }
    rows: list[dict[str, object]] = []
    for case, (net, make, prepare) in cases.items():
        timings = interleave(contenders(net, make, prepare), rounds)
        rows += [
            {
                "case": f"784-{WIDTH}-10, {case}",
                "step": name,
                "ms": round(1e3 * timing.median / STEPS, 2),
                "ratio to plain": round(ratio(timings, name, "plain"), 2),
            }
            for name, timing in timings.items()
        ]
    return rows

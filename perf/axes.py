"""Time and memory of a training step against width, density and winners: live synapses only, beside masks and dense."""

import time
from collections.abc import Callable

import numpy as np
import torch

from perf.apart import Cost, costs
from perf.floor import floor_seconds
from perf.sparse_nets import BATCH, DENSE, INPUTS, MASKED, STREAMED, TORCH, Shape

SYNAPSES, MANY_INPUTS = 10_000_000, 4000  # of each hidden layer; 784 inputs to 4000 units would be 3 million
FEW = 20  # winners
WIDTHS = (4000, 8000, 16_000, 32_000, 64_000)
PEER_WIDTHS = {DENSE: (4000, 8000), MASKED: (4000, 8000), TORCH: (4000,)}

WIDTH, SHARE = 4000, 0.05  # what the other two axes hold
DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
WINNER_SHARES = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5)

NO_SELECTION = dict.fromkeys(("batch × width MB", "selection alone, ms", "topk, ms"), "")
MILLION = Shape(1_000_000, 10, 0, FEW)


def width(rounds: int = 3) -> list[dict[str, object]]:
    """Return time and memory at a fixed number of synapses and winners; then a million units in one layer."""
    shapes = {w: _with_all_synapses(w) for w in WIDTHS}
    nets = [(STREAMED, shapes[w]) for w in WIDTHS]
    nets += [(peer, shapes[w]) for peer, widths in PEER_WIDTHS.items() for w in widths]
    measured = costs(dict.fromkeys([*nets, (STREAMED, MILLION)]), rounds)
    rows = [
        _row(contender, shape, measured[contender, shape])
        | _growth(measured[contender, shape], measured.get((contender, _with_all_synapses(shape.width // 2))))
        | (_selection(shape.width) if contender == STREAMED else NO_SELECTION)
        for contender, shape in nets
    ]
    million = measured[STREAMED, MILLION]
    return [*rows, _row(STREAMED, MILLION, million) | _growth(million, None) | _selection(MILLION.width)]


def density(rounds: int = 3) -> list[dict[str, object]]:
    """Return time and memory of 784-4000-4000-10 with 5 % winners, against the density of the weights."""
    return _rows([Shape(WIDTH, round(d * INPUTS), round(d * WIDTH), round(SHARE * WIDTH)) for d in DENSITIES], rounds)


def winner_share(rounds: int = 3) -> list[dict[str, object]]:
    """Return time and memory of 784-4000-4000-10 with 5 % of the weights, against the share of winners."""
    fan_in = round(SHARE * INPUTS), round(SHARE * WIDTH)
    return _rows([Shape(WIDTH, *fan_in, round(share * WIDTH)) for share in WINNER_SHARES], rounds)


def _rows(shapes: list[Shape], rounds: int) -> list[dict[str, object]]:
    nets = [(contender, shape) for shape in shapes for contender in (STREAMED, DENSE, MASKED)]
    measured = costs(dict.fromkeys(nets), rounds)
    return [
        _row(contender, shape, cost) | {"faster than dense": round(measured[DENSE, shape].seconds / cost.seconds, 2)}
        for (contender, shape), cost in measured.items()
    ]


def _row(contender: str, shape: Shape, cost: Cost) -> dict[str, object]:
    return {
        "contender": contender,
        "width": shape.width,
        "hidden layers": 2 if shape.second else 1,
        "live synapses": shape.synapses,
        "density": round((shape.second or shape.first) / (shape.width if shape.second else shape.inputs), 4),
        "winners": shape.winners,
        "share of winners": round(shape.share, 5),
        "ms": round(1e3 * cost.seconds, 2),
        "floor ms": round(1e3 * floor_seconds(shape, training=True), 2) if contender == STREAMED else "",
        "peak MB": round(cost.peak / 1e6),
        "of it imports": round(cost.imports / 1e6),
    }


def _with_all_synapses(width: int) -> Shape:
    return Shape(width, SYNAPSES // width, SYNAPSES // width, FEW, MANY_INPUTS)


def _growth(cost: Cost, half: Cost | None) -> dict[str, object]:
    if half is None:
        return {"time growth": "", "memory growth": ""}
    return {"time growth": round(cost.seconds / half.seconds, 2), "memory growth": round(cost.peak / half.peak, 2)}


def _selection(units: int) -> dict[str, object]:
    """Return the cost of selecting winners from (128, units) pre-activations, which the streamed layers do not hold."""
    from cl_sparse.kernels import live_winners as sparse_select
    from cl_sparse.kernels.arrays import Found
    from cl_sparse.kernels.threads import use_torch_threads

    y, ones = torch.randn(BATCH, units), np.ones(units, np.float32)
    found = Found(np.empty((BATCH, FEW), np.int64), np.empty((BATCH, FEW), np.float32), np.empty(units, np.float32))
    parts = use_torch_threads()

    def ours() -> None:
        sparse_select.winners_of_dense(parts, y.numpy(), ones, found)

    return {
        "batch × width MB": round(4 * BATCH * units / 1e6, 1),
        "selection alone, ms": round(1e3 * _least(ours), 2),
        "topk, ms": round(1e3 * _least(lambda: y.topk(FEW, dim=1)), 2),
    }


def _least(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])

"""Time and memory of a training step against width, at a fixed number of synapses and winners.

784-W-W-10, 20 winners per layer, batch 128. The second hidden layer has 10 million live synapses at every width; the
first has 2.5 million, because 784 inputs have no room for 10 million below 12 756 units. The head is dense. Every width
runs in a process of its own, whose largest resident set is read at the end.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_winners import StreamedKWinners, StreamedSparseLinear
from perf.sparse_linear import SGD, TorchSparseLinear

INPUTS, CLASSES, BATCH, WINNERS = 784, 10, 128, 20
FIRST, SECOND = 2_500_000, 10_000_000  # live synapses
WIDTHS = (4000, 8000, 16_000, 32_000, 64_000)
DENSE_UP_TO = {"dense ReLU": 8000, "torch.sparse": 8000}
STEPS = {"streamed": 8, "dense ReLU": 4, "torch.sparse": 2}


def streamed(width: int) -> nn.Module:
    share = WINNERS / width
    return nn.Sequential(
        StreamedSparseLinear(INPUTS, width, fan_in=min(INPUTS, FIRST // width)),
        StreamedKWinners(width, share),
        StreamedSparseLinear(width, width, fan_in=min(width, SECOND // width), inputs="winners"),
        StreamedKWinners(width, share),
        SparseLinear(width, CLASSES, density=1.0, inputs="winners"),
    )


def torch_sparse(width: int) -> nn.Module:
    first = SparseLinear(INPUTS, width, fan_in=min(INPUTS, FIRST // width))
    second = SparseLinear(width, width, fan_in=min(width, SECOND // width))
    return nn.Sequential(
        TorchSparseLinear(first), nn.ReLU(), TorchSparseLinear(second), nn.ReLU(), nn.Linear(width, CLASSES)
    )


def dense(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES)
    )


def million(width: int) -> nn.Module:
    """Return one hidden layer with 10 million live synapses, and a head of 10 per unit."""
    return nn.Sequential(
        StreamedSparseLinear(INPUTS, width, fan_in=SECOND // width),
        StreamedKWinners(width, WINNERS / width),
        SparseLinear(width, CLASSES, density=1.0, inputs="winners"),
    )


NETS: dict[str, Callable[[int], nn.Module]] = {
    "streamed": streamed,
    "torch.sparse": torch_sparse,
    "dense ReLU": dense,
    "million": million,
}


def resident() -> int:
    """Return this process's largest resident set so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(contender: str, width: int) -> dict[str, float]:
    """Train a few steps; return the least seconds of one and the memory."""
    torch.manual_seed(0)
    before = resident()
    model = NETS[contender](width)
    optimizer = torch.optim.SGD(model.parameters(), fused=True, **SGD)  # type: ignore[arg-type]
    x, y = torch.randn(BATCH, INPUTS), torch.randint(CLASSES, (BATCH,))
    steps = [_seconds(lambda: _step(model, optimizer, x, y)) for _ in range(STEPS.get(contender, 8) + 1)][1:]
    return {"seconds": min(steps), "peak": resident(), "imports": before}


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    nn.CrossEntropyLoss()(model(x), y).backward()
    optimizer.step()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def selection(width: int) -> dict[str, float]:
    """Return the least seconds to select 20 winners from (128, width) pre-activations, here and by torch.topk."""
    from cl_sparse.layers import sparse_select
    from cl_sparse.layers.threads import use_torch_threads

    y, ones = torch.randn(BATCH, width), np.ones(width, np.float32)
    ids, values = np.empty((BATCH, WINNERS), np.int64), np.empty((BATCH, WINNERS), np.float32)
    parts = use_torch_threads()
    ours = [_seconds(lambda: sparse_select.winners_of_dense(parts, y.numpy(), ones, ids, values)) for _ in range(9)]
    return {"ours": min(ours[1:]), "topk": min(_seconds(lambda: y.topk(WINNERS, dim=1)) for _ in range(5))}


def apart(contender: str, width: int) -> dict[str, float]:
    """Return :func:`measure` of a new process."""
    command = [sys.executable, "-m", "perf.width", contender, str(width)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(out.splitlines()[-1])
    return result


def run(rounds: int = 3) -> list[dict[str, object]]:
    """Return a row per contender and width; the least of ``rounds`` processes counts."""
    rows: list[dict[str, object]] = []
    for contender in STEPS:
        last: dict[str, float] = {}
        for width in WIDTHS:
            if width > DENSE_UP_TO.get(contender, width):
                continue
            runs = [apart(contender, width) for _ in range(rounds)]
            best = {key: min(run[key] for run in runs) for key in runs[0]}
            picks = selection(width)
            rows.append(
                {
                    "contender": contender,
                    "width": width,
                    "step seconds": round(best["seconds"], 4),
                    "time growth": round(best["seconds"] / last["seconds"], 2) if last else "",
                    "peak MB": round(best["peak"] / 1e6),
                    "of it imports": round(best["imports"] / 1e6),
                    "memory growth": round(best["peak"] / last["peak"], 2) if last else "",
                    "batch × width MB": round(4 * BATCH * width / 1e6, 1),
                    "selection alone, ours": round(picks["ours"], 5),
                    "selection alone, topk": round(picks["topk"], 5),
                }
            )
            last = best
    return rows


def main() -> None:
    """Measure one contender at one width, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("contender", choices=list(NETS))
    parser.add_argument("width", type=int)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.contender, arguments.width)))


if __name__ == "__main__":
    main()

"""From which width, and up to which share of winners, computing only what wins is faster than masks."""

import torch

from cl_sparse.synapses import LazySGD
from perf import winners
from perf.timing import interleave, ratio

WIDTHS = (128, 256, 512, 1000, 2000, 4000)
SHARES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def row(layers: int, width: int, share: float, rounds: int) -> dict[str, object]:
    """Return the times of masks and of winners at one width and share."""
    torch.manual_seed(0)
    k = round(width * share)
    masked, compact = winners.ours(layers, "reference", width, k), winners.ours(layers, "winners", width, k)
    timings = interleave(
        {
            "masks": winners.steps_of(masked, torch.optim.SGD(masked.parameters(), **winners.SGD, fused=True)),
            "winners": winners.steps_of(compact, LazySGD(compact.parameters(), **winners.SGD)),
        },
        rounds,
    )
    return {
        "hidden layers": layers,
        "width": width,
        "winners": k,
        "share": share,
        "masks, fused SGD: ms": round(1e3 * timings["masks"].median / winners.STEPS, 2),
        "winners: ms": round(1e3 * timings["winners"].median / winners.STEPS, 2),
        "masks to winners": round(ratio(timings, "masks", "winners"), 2),
    }


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return the times at all widths and shares with at least one winner."""
    points = [(width, share) for width in WIDTHS for share in SHARES if round(width * share)]
    return [row(layers, width, share, rounds) for layers in (1, 2) for width, share in points]

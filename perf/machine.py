"""What the machine can do at best, measured: multiply-adds per second and bytes per second."""

import time
from collections.abc import Callable
from functools import cache

import torch


def least_seconds(work: Callable[[], object], rounds: int = 7) -> float:
    """Return the shortest time of several."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


@cache
def peak_multiply_adds() -> float:
    """Return the multiply-adds per second of a large float32 matrix product."""
    n = 1024
    a, b, out = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
    return n**3 / least_seconds(lambda: torch.mm(a, b, out=out))


@cache
def bandwidth() -> float:
    """Return the bytes per second of adding to a tensor that no cache holds: reads and writes together."""
    x = torch.zeros(64 << 20)
    return 2 * 4 * x.numel() / least_seconds(lambda: x.add_(1))

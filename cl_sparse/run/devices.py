"""Where to compute, and what a processor is told before."""

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from cl_sparse.config import ExperimentConfig
from cl_sparse.errors import UserError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 2**30  # bytes


def choose_device(name: str) -> torch.device:
    """Return the device; ``auto`` takes the GPU if there is one.

    Raises:
        UserError: for ``cuda`` on a machine without it.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("--device cuda: this machine or this build of torch has no CUDA: use --device cpu or auto")
    if name == "cpu" or not available:
        return torch.device("cpu")
    # The same numbers in every run. cuBLAS reads its setting when first used; torch warns of what is not deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda")


def keep_freed_memory() -> None:
    """Let glibc keep for the next tensor what the last one freed, from now on.

    Otherwise the system takes back the pages of every large one, and has to hand out zeroed ones for the next: a fifth
    of a training step where layers have a million weights.
    """
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):  # of glibc alone
        ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, _KEPT)
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _KEPT)


@contextmanager
def flushing_denormals() -> Iterator[None]:
    """Let numbers below the normal format (1.2e-38) be 0 meanwhile, in this thread and those that torch starts from it.

    Momentum that has died away is full of them, and each costs a processor thirty times as much as another number.
    """
    before = (torch.full((1,), 1e-38) * 0.1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def note_slow_precision(configs: Iterable[ExperimentConfig], device: torch.device) -> None:
    """Say on stderr which experiments multiply in bfloat16 on a processor that can only imitate it."""
    names = sorted({config.name for config in configs if config.precision == "bf16"})
    if not names or device.type != "cpu":
        return
    known = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if not known or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return
    print(
        f"note: {', '.join(names)}: this processor has no instructions for precision bf16: a step takes many times as "
        "long as with --set precision=float32, whose numbers differ a little",
        file=sys.stderr,
    )

"""One number of threads for torch and for the loops that Numba compiles."""

import threading

import torch
from numba import config, set_num_threads


class _Last(threading.local):
    """Number of torch's threads at the last look; Numba keeps its own for each Python thread."""

    torch = 0
    usable = 0


_last = _Last()


def use_torch_threads() -> int:
    """Let compiled loops run on as many threads as torch does, and return how many. To be called before a loop."""
    threads = torch.get_num_threads()
    if threads != _last.torch:
        _last.usable = min(threads, int(vars(config)["NUMBA_NUM_THREADS"]))
        # The first call starts Numba's pool; they share one OpenMP runtime, and that changes torch's number.
        set_num_threads(_last.usable)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        _last.torch = threads
    return _last.usable

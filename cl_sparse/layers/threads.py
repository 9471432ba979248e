"""One number of threads for torch and for the loops that Numba compiles."""

import torch
from numba import config, set_num_threads


def use_torch_threads() -> int:
    """Let compiled loops run on as many threads as torch does, and return how many. To be called before a loop."""
    threads = torch.get_num_threads()
    usable = min(threads, int(vars(config)["NUMBA_NUM_THREADS"]))
    # The first call starts Numba's pool; they share one OpenMP runtime, and that changes torch's number.
    set_num_threads(usable)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return usable

"""Where to compute."""

import os

import torch

from cl_sparse.errors import UserError


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

"""NumPy views of tensors, which is what compiled loops work on."""

from typing import Any

import numpy as np
from torch import Tensor

Array = np.ndarray[Any, Any]


def array(tensor: Tensor) -> Array:
    """Return a NumPy view of a CPU tensor, in its shape and memory layout."""
    return tensor.detach().numpy()

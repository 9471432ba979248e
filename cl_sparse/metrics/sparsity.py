"""How evenly the units of a layer share the work."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def binary_entropy(p: ArrayLike) -> NDArray[np.float64]:
    """H(p) = −p·log2 p − (1−p)·log2(1−p), element by element, in bits; 0 at p = 0 and p = 1."""
    p = np.asarray(p, dtype=np.float64)
    if ((p < 0) | (p > 1)).any():
        raise ValueError("a probability lies outside 0..1")
    return -_x_log2_x(p) - _x_log2_x(1 - p)


def duty_cycle_entropy(p: ArrayLike) -> float:
    """Mean over the units of H(p_u), in bits per unit, 0..1; NaN without units.

    nupic.torch's ``KWinners.entropy()`` is the sum over the units, that is n times this. The mean compares layers of
    different widths.

    Args:
        p: duty cycles, any shape: the share of samples that switch each unit on.
    """
    entropy = binary_entropy(p)
    return float(entropy.mean()) if entropy.size else float("nan")


def max_duty_cycle_entropy(active_share: float) -> float:
    """H(active_share), in bits per unit: the largest mean entropy at that activity (all units on equally often)."""
    return float(binary_entropy(active_share))


def dead_share(p: ArrayLike) -> float:
    """Share of units that were never on; NaN without units.

    Args:
        p: duty cycles, any shape.
    """
    p = np.asarray(p)
    return float((p == 0).mean()) if p.size else float("nan")


def _x_log2_x(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x * np.log2(np.where(x > 0, x, 1.0))

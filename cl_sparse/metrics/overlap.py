"""Do two tasks use the same units?"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def unit_overlap(use: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expected overlap of the units that two tasks switch on, and what chance alone would give.

    Let p_a(u) be the share of task a's samples that switch unit u on. Draw one sample of task a and one of task b: the
    expected number of units on in both is Σ_u p_a(u)·p_b(u), and the expected sizes of the two codes are Σ p_a, Σ p_b.

        overlap[a, b] = Σ_u p_a(u)·p_b(u) / min(Σ p_a, Σ p_b)
        chance[a, b]  = (Σ p_a · Σ p_b / n) / min(Σ p_a, Σ p_b) = max(Σ p_a, Σ p_b) / n

    ``chance`` is the expectation if each task's code sat on units chosen independently at random. The diagonal compares
    two samples of the same task. Overlap below chance: the tasks avoid each other's units. Units that are always on
    overlap fully, and by chance too, so an overlap means something only beside its chance.

    Args:
        use: p, (T, n), shares between 0 and 1.

    Returns:
        overlap and chance, both (T, T), symmetric, between 0 and 1; NaN where one of the two tasks switches no unit on.
    """
    p = np.asarray(use, dtype=np.float64)
    if p.ndim != 2 or not p.size:
        raise ValueError(f"use has shape {p.shape}: it must be (tasks, units)")
    size = p.sum(axis=1)
    smaller = np.minimum.outer(size, size)
    smaller[smaller == 0] = np.nan
    return p @ p.T / smaller, np.outer(size, size) / p.shape[1] / smaller

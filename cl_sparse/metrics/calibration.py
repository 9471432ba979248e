"""How far a net's confidence is from how often it is right."""

import numpy as np
from numpy.typing import ArrayLike


def calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error: Σ_b n_b/n · |share right in b − mean confidence in b| (Guo et al. 2017).

    Args:
        confidence: highest probability of each sample, 0 to 1, (n,).
        right: whether each sample was classified rightly, (n,).
        bins: equally wide ones of the confidence.

    Raises:
        ValueError: there are no samples, or not equally many of both.
    """
    sure, correct = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if sure.shape != correct.shape or sure.ndim != 1 or not len(sure):
        raise ValueError(
            f"as many confidences as answers are needed, at least one, not {sure.shape} and {correct.shape}"
        )
    bin_of = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=correct - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(sure))

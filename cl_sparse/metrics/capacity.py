"""How full a layer is: how much its units vary, in how many directions, and whether tasks need the same ones."""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import shapiro

from cl_sparse.metrics.mixtures import fit_exponential_normal, fit_two_gammas

NAN = float("nan")
Numbers = NDArray[np.float64]


def spread(stds: ArrayLike) -> dict[str, float]:
    """Sum up how much the units of a layer vary.

    Args:
        stds: standard deviation of each unit's activity over samples, (n,), at least 0.

    Returns:
        ``units``: n. ``dead``: how many do not vary at all. ``total_std``: Σ std. ``shapiro_w``: W of Shapiro and Wilk
        (1965), how normally the stds are distributed, NaN for fewer than three or all equal. ``exponential_weight``,
        ``gamma_weight``: π, the share of units that hardly vary, of both mixtures, fitted to those above 0; NaN for
        fewer than two.

    Raises:
        ValueError: an std is below 0 or not finite.
    """
    stds = np.asarray(stds, dtype=np.float64).ravel()
    if not (np.isfinite(stds) & (stds >= 0)).all():
        raise ValueError("a standard deviation is finite and at least 0")
    varying = stds[stds > 0]
    enough = len(varying) >= 2
    return {
        "units": float(len(stds)),
        "dead": float((stds == 0).sum()),
        "total_std": float(stds.sum()),
        "shapiro_w": shapiro_w(stds),
        "exponential_weight": fit_exponential_normal(varying).weight if enough else NAN,
        "gamma_weight": fit_two_gammas(varying).weight if enough else NAN,
    }


def shapiro_w(x: ArrayLike) -> float:
    """W of Shapiro and Wilk, 0..1, 1 for a normal distribution; NaN for fewer than three numbers or all equal."""
    x = np.asarray(x, dtype=np.float64).ravel()
    if len(x) < 3 or np.ptp(x) == 0:
        return NAN
    with warnings.catch_warnings():  # above 5000 numbers the p-value, which is not used, may be inaccurate
        warnings.simplefilter("ignore", UserWarning)
        return float(shapiro(x).statistic)


def principal_components(covariance: ArrayLike) -> tuple[Numbers, Numbers]:
    """Return the variances along the principal components, largest first, (n,), and the components, rows of (n, n).

    Projecting centred x on the first k components, ``x @ components[:k].T @ components[:k]``, leaves the variances
    after the k-th as the error. (Taking columns of ``components`` instead, as the source did, makes all seem equally
    important.)

    Args:
        covariance: (n, n), symmetric.
    """
    variances, columns = np.linalg.eigh(np.asarray(covariance, dtype=np.float64))
    return np.clip(variances[::-1], 0.0, None), columns[:, ::-1].T


def effective_rank(covariance: ArrayLike) -> float:
    """exp(H(p)), p_i the share of the variance along principal component i (Roy & Vetterli 2007); NaN without any.

    1 if all varies along one direction, n if equally along n.

    Args:
        covariance: (n, n), symmetric.
    """
    variances, _ = principal_components(covariance)
    if not variances.sum() > 0:
        return NAN
    share = variances[variances > 0] / variances.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def components_for(covariance: ArrayLike, share: float) -> int:
    """Number of principal components that hold at least this share, 0..1, of the variance; 0 if nothing varies.

    Args:
        covariance: (n, n), symmetric.
        share: of the variance.
    """
    variances, _ = principal_components(covariance)
    total = variances.sum()
    return int((variances.cumsum() < share * total * (1 - 1e-12)).sum()) + 1 if total > 0 else 0


def importance_overlap(importance: ArrayLike) -> Numbers:
    """Overlap of the units that two tasks need: Σ_u min(p_a(u), p_b(u)), p a task's importances as shares.

    Only importances above 0 count: what a unit does for a task.

    Args:
        importance: of each unit for each task, (T, n).

    Returns:
        (T, T), symmetric, 0: no unit in common, 1: the same units equally; NaN for a task that needs no unit.

    Raises:
        ValueError: ``importance`` is not (T, n).
    """
    needed = np.clip(np.asarray(importance, dtype=np.float64), 0.0, None)
    if needed.ndim != 2:
        raise ValueError(f"importance has shape {needed.shape}: it must be (tasks, units)")
    total = needed.sum(axis=1, keepdims=True)
    shares = np.divide(needed, total, out=np.full_like(needed, np.nan), where=total > 0)
    overlap: Numbers = np.minimum(shares[:, None], shares[None]).sum(axis=2)
    return overlap

"""What was remembered: scalars computed from the accuracy matrix R.

R is T×T and ``R[i, j]`` is the accuracy on task j after training on task i. The formulas below count from 1, as the
papers do. NaN means "not defined", and a value that needs an undefined entry is NaN itself: no function here averages
over what happens to be there, except :func:`forgetting`, which says so. Entries are undefined in

- a joint baseline, which trains once on the union of all tasks: only the last row exists. ACC is its only scalar;
  whatever compares with an earlier moment (BWT, FWT, forgetting, learning accuracy) has nothing to compare with;
- runs tested only every few tasks (``eval_every``): the rows between hold their diagonal entry only;
- nets with a head per task: above the diagonal the head has never been trained, so its accuracy says nothing;
- stopped runs: the rows after the stop.

Sources: Lopez-Paz & Ranzato 2017 (Gradient Episodic Memory: ACC, BWT, FWT); Chaudhry et al. 2018 (Riemannian Walk:
forgetting); Díaz-Rodríguez et al. 2018 (Don't forget, there is more than forgetting: the average over the lower
triangle of R); Riemer et al. 2019 (Learning to learn without forgetting: learning accuracy).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]


def average_accuracy(R: ArrayLike) -> float:
    """ACC = 1/T Σ_j R[T, j]: the mean of the last row (Lopez-Paz & Ranzato 2017, eq. 2).

    Args:
        R: accuracy matrix, (T, T).
    """
    return float(_square(R)[-1].mean())


def average_incremental_accuracy(R: ArrayLike) -> float:
    """Mean over i of the mean accuracy on the tasks seen so far: 1/T Σ_i (1/i Σ_{j≤i} R[i, j]).

    NaN for a joint baseline and when tasks were tested only now and then: a mean over other rows is another quantity.
    (Díaz-Rodríguez et al. 2018 weigh every entry of the lower triangle alike; here every row counts alike, as in
    class-incremental work since iCaRL, Rebuffi et al. 2017.)

    Args:
        R: accuracy matrix, (T, T).
    """
    R = _square(R)
    seen_sum = np.where(np.tri(len(R), dtype=bool), R, 0.0).sum(axis=1)
    return float((seen_sum / np.arange(1, len(R) + 1)).mean())


def backward_transfer(R: ArrayLike) -> float:
    """BWT = 1/(T−1) Σ_{j<T} (R[T, j] − R[j, j]) (Lopez-Paz & Ranzato 2017, eq. 3). Negative: tasks were forgotten.

    NaN for one task, and for a joint baseline, whose tasks have no "just after training on it".

    Args:
        R: accuracy matrix, (T, T).
    """
    R = _square(R)
    return _mean(R[-1, :-1] - np.diagonal(R)[:-1])


def forward_transfer(R: ArrayLike, r_init: ArrayLike | None) -> float:
    """FWT = 1/(T−1) Σ_{j>1} (R[j−1, j] − r_init[j]) (Lopez-Paz & Ranzato 2017, eq. 4).

    What earlier tasks teach about a task before it is trained on. NaN for one task, for a joint baseline, when row j−1
    was not tested, and for nets with a head per task, whose heads are untrained at that moment. In class-incremental
    streams it has no meaning either, although R is defined: the training so far has only seen other classes, so
    R[j−1, j] is near 0 whatever was learned. :func:`summary` returns NaN there.

    Args:
        R: accuracy matrix, (T, T).
        r_init: accuracy of the untrained net on every task, (T,); None when it was not recorded.
    """
    R = _square(R)
    if r_init is None:
        return float("nan")
    start = np.asarray(r_init, dtype=np.float64)
    if start.shape != (len(R),):
        raise ValueError(f"r_init has shape {start.shape}, R has {len(R)} tasks")
    return _mean(np.diagonal(R, offset=1) - start[1:])


def learning_accuracy(R: ArrayLike) -> float:
    """Mean of the diagonal, 1/T Σ_j R[j, j]: how well a task is learned when it is its turn (Riemer et al. 2019).

    NaN for a joint baseline.

    Args:
        R: accuracy matrix, (T, T).
    """
    return float(np.diagonal(_square(R)).mean())


def forgetting(R: ArrayLike) -> float:
    """F = 1/(T−1) Σ_{j<T} (max_{j≤l<T} R[l, j] − R[T, j]): best earlier accuracy minus the last (Chaudhry et al. 2018).

    Chaudhry et al. take the maximum over every l < T; here it starts at j, when task j has been trained on, so that an
    untrained head's luck does not count. Negative when the last accuracy is the best.

    Where some rows were not tested, the maximum is over the rows that were: the diagonal is always among them, so F is
    then a lower bound, between −BWT and the fully tested value. NaN for one task, for a joint baseline, and for a
    stopped run.

    Args:
        R: accuracy matrix, (T, T).
    """
    R = _square(R)
    n = len(R) - 1
    trained = np.tri(n, dtype=bool) & ~np.isnan(R[:-1, :-1])
    best = np.where(trained, R[:-1, :-1], -np.inf).max(axis=0, initial=-np.inf)
    best[~trained.any(axis=0)] = np.nan
    return _mean(best - R[-1, :-1])


def summary(R: ArrayLike, r_init: ArrayLike | None, scenario: str, *, heads: str | None = None) -> dict[str, float]:
    """All scalars of one run.

    Args:
        R: accuracy matrix, (T, T).
        r_init: accuracy of the untrained net, (T,), or None.
        scenario: "task", "domain" or "class". FWT is NaN in "class" (see :func:`forward_transfer`).
        heads: "multi" for a head per task, which makes FWT NaN; "single", or None when R itself holds the NaN.

    Returns:
        keys ``acc, aia, bwt, fwt, learning_accuracy, forgetting``.
    """
    if scenario not in ("task", "domain", "class"):
        raise ValueError(f'scenario is {scenario!r}: must be "task", "domain" or "class"')
    no_forward = scenario == "class" or heads == "multi"
    return {
        "acc": average_accuracy(R),
        "aia": average_incremental_accuracy(R),
        "bwt": backward_transfer(R),
        "fwt": float("nan") if no_forward else forward_transfer(R, r_init),
        "learning_accuracy": learning_accuracy(R),
        "forgetting": forgetting(R),
    }


def _square(R: ArrayLike) -> Matrix:
    matrix = np.asarray(R, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"R has shape {matrix.shape}: it must be T×T with at least one task")
    return matrix


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else float("nan")

"""How much the training loss goes up and down once it is low."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from cl_sparse.metrics import mean_std
from cl_sparse.report import numbers
from cl_sparse.report.rows import Group, Result, group_results
from cl_sparse.report.table import markdown

_HEADS = (
    *("experiment", "seeds", "epochs", "lowest training loss", "median of the last half"),
    *("largest ÷ median", "epochs in which it rises, %", "ACC"),
)


def noise_table(results: Iterable[Result]) -> str:
    """A line for each experiment of one task whose results hold a loss for each epoch, in Markdown; means of seeds."""
    groups = [group for group in group_results(results) if _is_recorded(group)]
    return markdown(_HEADS, map(_line, groups), [head != "experiment" for head in _HEADS])


def noise(losses: ArrayLike) -> tuple[float, float, float, float]:
    """Return what is noisy in a run's training losses by epoch, (epochs,).

    Returns:
        the lowest loss, the median of the last half of the epochs, the largest in that half over that median, and the
        share of the epochs of that half in which the loss is above that of the epoch before.
    """
    all_losses = np.asarray(losses, dtype=np.float64)
    half = all_losses[len(all_losses) // 2 :]
    median = float(np.median(half))
    rises = float((np.diff(half) > 0).mean()) if len(half) > 1 else float("nan")
    return float(all_losses.min()), median, float(half.max()) / median, rises


def _is_recorded(group: Group) -> bool:
    return all(
        stats.get("stopped") is None and len(stats["accs"]) == 1 and "train_loss" in stats.get("per_epoch", {})
        for _, stats in group.results
    )


def _line(group: Group) -> list[str]:
    runs = [stats for _, stats in group.results]
    lowest, median, largest, rises = np.mean([noise(stats["per_epoch"]["train_loss"]) for stats in runs], axis=0)
    return [
        group.label,
        str(len(runs)),
        str(len(runs[0]["per_epoch"]["train_loss"])),
        f"{lowest:.2g}",
        f"{median:.2g}",
        f"{largest:.3g}",
        numbers.percent(100 * rises),
        numbers.spread(mean_std(float(np.mean(stats["accs"][-1])) for stats in runs)),
    ]

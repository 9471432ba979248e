"""Nets that learn their widths beside nets that begin with these: the best epoch, by validation data, of each.

A control names in ``widths_from`` whose widths it has, seed by seed. It is read twice: over as many steps as the other
net took, and over as much time as that spent on training, removal of units included. So it is trained for longer,
if its steps are faster.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cl_sparse.metrics import MeanStd, mean_std
from cl_sparse.report import numbers
from cl_sparse.report.rows import Group, Result, group_results
from cl_sparse.report.table import markdown

_HEADS = (
    *("experiment", "seeds", "epochs", "widths at the end", "best epoch: units", "its accuracy"),
    *("same widths, equal steps", "difference", "equal time", "difference", "seconds"),
)
Record = Mapping[str, NDArray[np.float64]]


class Compared(NamedTuple):
    """A run that learned its widths, and its control. Accuracies are on test data, at the epoch that validation chose.

    Attributes:
        accuracy: of the net that learned its widths.
        units: of its hidden layers together, at that epoch.
        steps, time: the control's accuracy within as many steps, and within as much time; NaN: it was not trained for
            so long.
        seconds: that training took.
    """

    accuracy: float
    units: float
    steps: float
    time: float
    seconds: float


def compressed_table(results: Iterable[Result]) -> str:
    """A line for each experiment of one task that another one takes its widths from, as Markdown.

    Differences are means over the seeds that both have, ± a standard deviation of the differences; ``–`` where the
    control was not trained for so long. Without a control there is a line without these.
    """
    groups = [group for group in group_results(results) if _is_recorded(group)]
    controls = {group.results[0][0].get("widths_from"): group for group in groups}
    learning = [group for group in groups if group.results[0][0].get("widths_from") is None]
    lines = [_line(group, controls.get(group.results[0][0]["name"])) for group in learning]
    return markdown(_HEADS, lines, [head not in ("experiment", "widths at the end") for head in _HEADS])


def compared(run: Mapping[str, Any], control: Mapping[str, Any] | None) -> Compared:
    """Compare the statistics of a run with those of its control, None if it has none."""
    epochs, sizes = run["per_epoch"], run["size_per_epoch"]
    best = int(np.argmax(epochs["val_accuracy"]))
    units = sum(float(layer[best]) for layer in sizes["units"].values())
    seconds = float(np.sum(sizes["seconds"]))
    steps = time = float("nan")
    if control is not None:
        n = len(epochs["val_accuracy"])
        clock = np.cumsum(control["size_per_epoch"]["seconds"])
        steps = _best_within(control["per_epoch"], n)
        time = _best_within(control["per_epoch"], int((clock <= seconds).sum())) if clock[-1] > seconds else time
    return Compared(float(epochs["test_accuracy"][best]), units, steps, time, seconds)


def _best_within(epochs: Record, n: int) -> float:
    """Return the accuracy on test data at the best of the first n epochs; NaN if there are fewer, or none."""
    if not 0 < n <= len(epochs["val_accuracy"]):
        return float("nan")
    return float(epochs["test_accuracy"][int(np.argmax(epochs["val_accuracy"][:n]))])


def _is_recorded(group: Group) -> bool:
    return all(
        stats.get("stopped") is None
        and len(stats["accs"]) == 1
        and "val_accuracy" in stats.get("per_epoch", {})
        and "size_per_epoch" in stats
        for _, stats in group.results
    )


def _line(group: Group, control: Group | None) -> list[str]:
    beside = {} if control is None else {stats["seed"]: stats for _, stats in control.results}
    seeds = [stats for _, stats in group.results if control is None or stats["seed"] in beside]
    rows = [compared(stats, beside.get(stats["seed"])) for stats in seeds]
    first = seeds[0] if seeds else group.results[0][1]
    return [
        group.label,
        str(len(rows)),
        str(len(first["per_epoch"]["task"])),
        _widths(seeds),
        f"{mean_std(row.units for row in rows).mean:.0f}",
        numbers.spread(mean_std(row.accuracy for row in rows)),
        numbers.spread(mean_std(row.steps for row in rows)),
        _difference(mean_std(row.accuracy - row.steps for row in rows)),
        numbers.spread(mean_std(row.time for row in rows)),
        _difference(mean_std(row.accuracy - row.time for row in rows)),
        numbers.seconds(mean_std(row.seconds for row in rows).mean),
    ]


def _widths(runs: list[dict[str, Any]]) -> str:
    layers = runs[0]["size_per_epoch"]["units"] if runs else {}
    return ", ".join(f"{np.mean([run['size_per_epoch']['units'][layer][-1] for run in runs]):.0f}" for layer in layers)


def _difference(value: MeanStd) -> str:
    deviation = "" if np.isnan(value.std) else f" ± {numbers.accuracy(value.std)}"
    return numbers.UNDEFINED if np.isnan(value.mean) else f"{numbers.signed(value.mean)}{deviation}"

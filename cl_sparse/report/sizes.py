"""How large nets were, task by task: a table of their live synapses, and a figure."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cl_sparse.metrics import MeanStd, mean_std
from cl_sparse.report import numbers
from cl_sparse.report.figures import COLOURS, MARKERS, accuracy_axes, legend_below, new_figure, save_figure
from cl_sparse.report.rows import Group, Result, group_results, row_of
from cl_sparse.report.table import markdown, seeds

_HEADS = (
    "experiment",
    "ACC",
    "forgetting",
    "seeds",
    "live synapses: first task",
    "mean",
    "last task",
    "units, or window, at last",
)


def sizes_table(results: Iterable[Result]) -> str:
    """A line for each experiment whose results say how large its nets were, as Markdown.

    Live synapses are those at the end of the first task, of all tasks on average, and of the last one; means over the
    seeds. Units are those of each hidden layer; of a layer with a window (``flexible_width``) its area. A result from
    before these were noted is left out.
    """
    lines = []
    for group in group_results(result for result in results if _live(result).size):
        live, row = np.stack([_live(result) for result in group.results]), row_of(group)
        sizes = [live[:, 0].mean(), live.mean(), live[:, -1].mean()]
        line = [group.label, numbers.spread(row.acc), numbers.spread(row.forgetting), seeds(row)]
        lines.append([*line, *map(numbers.count, sizes), _units(group)])
    return markdown(_HEADS, lines, [head != "experiment" for head in _HEADS])


def synapses_over_tasks_png(results: Iterable[Result], path: Path) -> None:
    """Draw the live synapses at the end of each task, a line per experiment; the band is ± a deviation over the seeds.

    Args:
        results: ``(config, stats)`` of any number of runs; one that does not say how large its nets were is left out.
        path: the PNG to write.

    Raises:
        UserError: the file cannot be written.
    """
    figure, axes = new_figure(7.5, 5.0)
    for i, group in enumerate(group_results(result for result in results if _live(result).size)):
        live = np.stack([_live(result) for result in group.results])
        tasks, mean, std = np.arange(1, live.shape[1] + 1), live.mean(0), live.std(0, ddof=1 if len(live) > 1 else 0)
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(tasks, mean, color=colour, marker=MARKERS[i % len(MARKERS)], markersize=5, label=group.label)
        axes.fill_between(tasks, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tasks learned")
    axes.set_ylabel("live synapses")
    accuracy_axes(axes)
    if axes.lines:
        legend_below(figure)
    save_figure(figure, path)


def _live(result: Result) -> NDArray[np.float64]:
    """Return the live synapses after each task; none if the result does not say, or was stopped."""
    _, stats = result
    found = stats.get("live_synapses_by_task") or []
    complete = stats.get("stopped") is None and len(found) == len(stats["steps"])
    return np.array(found if complete else [], dtype=np.float64)


def _units(group: Group) -> str:
    """Return the units of the hidden layers after the last task, or the sizes of their windows, e.g. "52 ± 1, 40"."""
    windows = [stats.get("mechanisms", {}).get("flexible_width", {}).get("sizes") for _, stats in group.results]
    last = windows if all(windows) else [stats["units"][-1] for _, stats in group.results]
    hidden = [layer for layer in last[0] if layer.startswith("features.")]
    return ", ".join(_count(mean_std(units[layer] for units in last)) for layer in hidden)


def _count(units: MeanStd) -> str:
    return f"{units.mean:.0f} ± {units.std:.0f}" if units.std > 0 else f"{units.mean:.0f}"

"""Figures: PNG files, written atomically, drawn without a display."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cl_sparse.errors import UserError
from cl_sparse.report.rows import Group, Result, group_results
from cl_sparse.results import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours, told apart by colour-blind readers too; markers and dashes say the same once more.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
_MAX_NUMBERS = 12  # tasks up to which the numbers in a heat map can be read
_DPI = 150


SCORES = {"accuracy": "accuracy", "r2": "R²"}  # what R holds, as results say it and as it is written


def accuracy_matrix_png(R: ArrayLike, path: Path, title: str, score: str = "accuracy") -> None:
    """Draw R as a heat map: one row per task trained, one column per task tested; undefined entries stay blank.

    Args:
        R: accuracy matrix, (T, T).
        path: the PNG to write.
        title: above the picture.
        score: what R holds, a key of ``SCORES``; of R² what is below 0 has the colour of 0.

    Raises:
        UserError: the file cannot be written.
    """
    matrix = np.asarray(R, dtype=np.float64)
    n = len(matrix)
    side = float(np.clip(0.5 * n + 1.6, 4.0, 9.0))
    figure, axes = new_figure(side + 0.9, side)
    axes.set_facecolor("#eeeeee")
    image = axes.imshow(np.ma.masked_invalid(matrix), cmap="cividis", vmin=0, vmax=1)
    if n <= _MAX_NUMBERS:
        _write_numbers(axes, matrix)
    ticks = range(0, n, max(1, n // 10))
    axes.set_xticks(ticks, [str(t + 1) for t in ticks])
    axes.set_yticks(ticks, [str(t + 1) for t in ticks])
    axes.set_xlabel("tested on task")
    axes.set_ylabel("after training on task")
    axes.set_title(title, wrap=True, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label=SCORES[score])
    bar.outline.set_visible(False)
    save_figure(figure, path)


def accuracy_over_tasks_png(results: Iterable[Result], path: Path, title: str = "") -> None:
    """Draw the mean accuracy over the tasks seen so far after each task, one line per experiment.

    The band is ± one standard deviation over the seeds. An experiment that trains once on all tasks has one number
    only: a dashed line across.

    Args:
        results: ``(config, stats)`` of any number of runs.
        path: the PNG to write.
        title: above the picture.

    Raises:
        UserError: the file cannot be written.
    """
    figure, axes = new_figure(7.5, 5.0)
    groups = group_results(results)
    for i, group in enumerate(groups):
        _draw(axes, group, COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
    last = max((len(R) for group in groups for R in group.matrices), default=1)
    axes.set_xlim(1 - 0.02 * last, last + 0.02 * last)
    axes.set_xticks(range(1, last + 1, max(1, last // 10)))
    lowest = min((float(np.nanmin(line.get_ydata())) for line in axes.lines), default=0.0)
    axes.set_ylim(max(0.0, np.floor(10 * lowest - 0.5) / 10), 1.01)
    axes.set_xlabel("tasks learned")
    axes.set_ylabel(f"mean {_scores(groups)} on the tasks so far")
    axes.set_title(title, wrap=True, parse_math=False)
    accuracy_axes(axes)
    if axes.lines:
        legend_below(figure)
    save_figure(figure, path)


def seen_accuracy(R: ArrayLike) -> NDArray[np.float64]:
    """Mean accuracy over the tasks seen so far after each task, (T,); NaN where one of them was not tested."""
    matrix = np.asarray(R, dtype=np.float64)
    seen = np.tri(len(matrix), dtype=bool)
    mean: NDArray[np.float64] = np.where(seen, matrix, 0.0).sum(axis=1) / seen.sum(axis=1)
    return mean


def _scores(groups: Sequence[Group]) -> str:
    """Return what the results' matrices hold: "accuracy", or "R²", or both."""
    found = {SCORES[group.results[0][1].get("score", "accuracy")] for group in groups}
    return " or ".join(sorted(found, reverse=True)) or "accuracy"


def _draw(axes: "Axes", group: Group, colour: str, marker: str) -> None:
    curves = np.stack([seen_accuracy(R) for R in group.matrices])
    tasks = np.flatnonzero(~np.isnan(curves).any(axis=0))
    known = curves[:, tasks]
    mean = known.mean(axis=0)
    std = known.std(axis=0, ddof=1) if len(known) > 1 else np.zeros_like(mean)
    x = tasks + 1.0
    if not len(tasks):  # every run was stopped before its first test
        return
    n_tasks = curves.shape[1]
    if n_tasks > 1 and list(tasks) == [n_tasks - 1]:
        # Shifted dashes: two lines at the same height are both seen.
        dashes = (5 * (len(axes.lines) % 2), (5, 5))
        axes.axhline(mean[0], color=colour, linestyle=dashes, linewidth=1.8, label=f"{group.label} (all tasks at once)")
        if std[0] > 0:
            axes.axhspan(mean[0] - std[0], mean[0] + std[0], color=colour, alpha=0.15, linewidth=0)
        return
    axes.plot(x, mean, color=colour, marker=marker, markersize=5, linewidth=1.8, label=group.label)
    axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)


def _write_numbers(axes: "Axes", matrix: NDArray[np.float64]) -> None:
    for i, j in np.ndindex(matrix.shape):
        value = matrix[i, j]
        if not np.isnan(value):
            text = f"{value:.2f}".removeprefix("0") if value < 0.995 else "1.0"
            axes.text(j, i, text, ha="center", va="center", fontsize=9, color="black" if value > 0.55 else "white")


def accuracy_axes(axes: "Axes") -> None:
    """Give a picture of accuracies horizontal grid lines and no frame."""
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend_below(figure: "Figure") -> None:
    """Put the legend of all lines under the picture."""
    legend = figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)  # a "$" in an experiment's name is a "$"


def new_figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    """Return a figure of this size in inches, and its axes."""
    # Figure without pyplot: no display, no global state, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save_figure(figure: "Figure", path: Path) -> None:
    """Write the figure as PNG.

    Raises:
        UserError: the file cannot be written.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error

"""Two settings, or two numbers, against one another: heat maps of a study's tables, and a point for each run."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cl_sparse.report import numbers
from cl_sparse.report.figures import COLOURS, MARKERS, accuracy_axes, legend_below, new_figure, save_figure
from cl_sparse.report.rows import Result
from cl_sparse.report.study import Part, by_setting, cells_of, chosen_of, in_order, last_word, of_seeds, shown


def maps_of(results: Iterable[Result], part: Part) -> tuple[list[Any], list[Any], dict[str, NDArray[np.float64]]]:
    """Return a part's rows, its columns and, by number, the mean over the seeds in each cell; NaN where none ran.

    Raises:
        UserError: as :func:`cl_sparse.report.study.study_table`.
    """
    chosen = chosen_of(results, part)
    by_number = {label: cells_of(chosen, part, path) for label, path in part.numbers.items()}
    places = next(iter(by_number.values()))
    rows, columns = in_order({row for row, _ in places}), in_order({column for _, column in places})
    found = {}
    for label, cells in by_number.items():
        runs = [[cells.get((row, column), ([], 0))[0] for column in columns] for row in rows]
        found[label] = np.array([[np.mean(cell) if cell else np.nan for cell in of_row] for of_row in runs])
    return rows, columns, found


def maps_png(results: Iterable[Result], part: Part, path: Path) -> None:
    """Draw a heat map of each number of a part, with the numbers in it.

    Args:
        results: ``(config, stats)`` of any number of runs.
        part: with ``rows``, ``columns`` and ``drawn``.
        path: the PNG to write.

    Raises:
        UserError: as :func:`maps_of`; or the file cannot be written.
    """
    assert part.rows is not None
    assert part.columns is not None
    rows, columns, found = maps_of(results, part)
    figure, first = new_figure(len(found) * (0.8 * len(columns) + 1.2), 0.6 * len(rows) + 1.2)
    first.remove()
    for axes, (label, values) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        image = axes.imshow(np.ma.masked_invalid(values), cmap="cividis")
        for (i, j), value in np.ndenumerate(values):
            light = float(image.norm(value)) > 0.55
            axes.text(j, i, numbers.accuracy(value), ha="center", va="center", color="black" if light else "white")
        axes.set_xticks(range(len(columns)), [shown(column) for column in columns])
        axes.set_yticks(range(len(rows)), [shown(row) for row in rows])
        axes.set_xlabel(last_word(part.columns))
        axes.set_ylabel(last_word(part.rows))
        axes.set_title(label, parse_math=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    save_figure(figure, path)


def points_png(results: Iterable[Result], part: Part, path: Path) -> None:
    """Draw the second number of a part against the first, a point per run, in colours by the setting's value.

    Args:
        results: ``(config, stats)`` of any number of runs; those that did not come to their end are left out.
        part: with ``points``.
        path: the PNG to write.

    Raises:
        UserError: as :func:`points_of`; or the file cannot be written.
    """
    assert part.points is not None
    across, upwards = part.numbers
    figure, axes = new_figure(7.0, 5.0)
    for i, (value, points) in enumerate(points_of(results, part).items()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        label = f"{last_word(part.points)} {shown(value)}"
        axes.plot(*points.T, linestyle="none", color=colour, marker=marker, markersize=5, alpha=0.8, label=label)
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    accuracy_axes(axes)
    legend_below(figure)
    save_figure(figure, path)


def points_of(results: Iterable[Result], part: Part) -> dict[Any, NDArray[np.float64]]:
    """Return the two numbers of each run, (runs, 2), by the value of the setting ``points``.

    Raises:
        UserError: a result lacks a number.
    """
    found = {}
    for value, chosen in by_setting(chosen_of(results, part), part.points).items():
        runs = [[of_seeds([result], number)[0] for number in part.numbers.values()] for result in chosen]
        points = [(one[seed], other[seed]) for one, other in runs for seed in one]
        found[value] = np.array(points, dtype=np.float64).reshape(-1, 2)
    return found

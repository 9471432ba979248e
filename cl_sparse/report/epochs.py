"""Recorded numbers over the epochs: a line per value of a setting."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cl_sparse.report.figures import COLOURS, accuracy_axes, legend_below, new_figure, save_figure
from cl_sparse.report.rows import Result
from cl_sparse.report.study import Part, by_setting, chosen_of, of_seeds

_DASHES = ("-", "--", ":", "-.")


def over_epochs_png(results: Iterable[Result], part: Part, path: Path) -> None:
    """Draw each number of a part over the epochs: mean of the seeds, with ± one standard deviation.

    Values of the setting differ in colour, numbers in how the line is dashed.

    Args:
        results: ``(config, stats)`` of any number of runs.
        part: with ``lines``; its numbers are lists, one number for each epoch.
        path: the PNG to write.

    Raises:
        UserError: as :func:`cl_sparse.report.study.study_table`; or the file cannot be written.
    """
    figure, axes = new_figure(7.5, 5.0)
    for i, (value, chosen) in enumerate(by_setting(chosen_of(results, part), part.lines).items()):
        for j, (label, number) in enumerate(part.numbers.items()):
            found, _ = of_seeds(chosen, number)
            if not found:
                continue
            curves = np.array(list(found.values()), dtype=np.float64)
            epochs, mean = np.arange(1, curves.shape[1] + 1), curves.mean(axis=0)
            spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros_like(mean)
            colour, dash = COLOURS[i % len(COLOURS)], _DASHES[j % len(_DASHES)]
            axes.plot(epochs, mean, color=colour, linestyle=dash, linewidth=1.8, label=f"{value}: {label}")
            axes.fill_between(epochs, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
    axes.set_xlabel("epochs")
    axes.set_ylabel(", ".join(part.numbers))
    accuracy_axes(axes)
    if axes.lines:
        legend_below(figure)
    save_figure(figure, path)

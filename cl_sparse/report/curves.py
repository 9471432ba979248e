"""Accuracy against a quantity that experiments vary: a point per experiment, a line per family of experiments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cl_sparse.metrics import MeanStd
from cl_sparse.report import numbers
from cl_sparse.report.figures import COLOURS, MARKERS, accuracy_axes, legend_below, new_figure, save_figure
from cl_sparse.report.rows import Result, Row, group_results, row_of


@dataclass(frozen=True)
class Quantity:
    """What stands on the horizontal axis, which is logarithmic.

    Attributes:
        label: of the axis, with the unit.
        of: its value for an experiment, above 0; NaN where it has none.
        text: how a value is written at the axis.
    """

    label: str
    of: Callable[[Row], float]
    text: Callable[[float], str]


QUANTITIES: Mapping[str, Quantity] = {
    "bytes": Quantity("bytes carried from task to task", lambda row: row.carried_bytes, numbers.count),
    "synapses": Quantity("live synapses at the end", lambda row: row.live_synapses, numbers.count),
    "winners": Quantity("winners, %", lambda row: row.winners, lambda share: f"{100 * share:g}"),
}


def accuracy_against_png(families: Mapping[str, Sequence[Result]], quantity: Quantity, path: Path) -> None:
    """Draw ACC against a quantity, with ± one standard deviation over the seeds.

    Args:
        families: label of a line → ``(config, stats)`` of the runs of its experiments, in any order.
        quantity: of the horizontal axis.
        path: the PNG to write.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure, axes = new_figure(7.5, 5.0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: quantity.text(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    for i, (label, results) in enumerate(families.items()):
        points = _points(results, quantity)
        x, y, spread = [p[0] for p in points], [p[1].mean for p in points], [_finite(p[1].std) for p in points]
        axes.plot(x, y, color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], markersize=5, label=label)
        axes.errorbar(x, y, yerr=spread, color=COLOURS[i % len(COLOURS)], linewidth=1.8, capsize=3)
    axes.set_xlabel(quantity.label)
    axes.set_ylabel("ACC")
    accuracy_axes(axes)
    legend_below(figure)
    save_figure(figure, path)


def _points(results: Sequence[Result], quantity: Quantity) -> list[tuple[float, MeanStd]]:
    rows = [row_of(group) for group in group_results(results)]
    points = [(quantity.of(row), row.acc) for row in rows]
    return sorted(((x, acc) for x, acc in points if x > 0), key=lambda point: point[0])


def _finite(std: float) -> float:
    return std if std == std else 0.0  # one run has no deviation

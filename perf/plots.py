"""Pictures of what was measured: time and memory against width, density and winners, and where dense is faster."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[dict[str, Any]]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vP"


@dataclass(frozen=True)
class Plot:
    """What of a case goes where.

    Attributes:
        x: column of the horizontal axis.
        panels: columns of the vertical axes.
        line: column that tells the lines apart.
        title: above the picture.
    """

    x: str
    panels: tuple[str, ...]
    line: str
    title: str


COST = ("ms", "peak MB")
PLOTS = {
    "width": Plot("width", COST, "contender", "4000-W-W-10, 10 million live synapses a layer, 20 winners, batch 128"),
    "density": Plot("density", COST, "contender", "784-4000-4000-10, 5 % winners, batch 128"),
    "winner_share": Plot("share of winners", COST, "contender", "784-4000-4000-10, 5 % of the weights, batch 128"),
    "crossover": Plot(
        "share", ("masks to winners",), "net", "Dense weights: time of masks to time of computing only what wins"
    ),
}
"""By the case's name."""


def draw(case: str, rows: Rows, folder: Path) -> Path | None:
    """Draw a case into a PNG file, logarithmic in both directions.

    Args:
        case: its name.
        rows: what was measured.
        folder: where the file goes.

    Returns:
        The file; None for a case that is a table only.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plot = PLOTS.get(case)
    if plot is None:
        return None
    figure = Figure(figsize=(5 * len(plot.panels), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for number, column in enumerate(plot.panels):
        axes = figure.add_subplot(1, len(plot.panels), number + 1)
        _draw_lines(axes, rows, plot, column)
    figure.suptitle(plot.title, fontsize=10)
    path = folder / f"performance_{case}.png"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _draw_lines(axes: "Axes", rows: Rows, plot: Plot, column: str) -> None:
    of_line: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.get("hidden layers") == 1 and plot.line == "contender":
            continue  # the net of a million units is another net
        of_line.setdefault(_line(row, plot.line), []).append((row[plot.x], row[column]))
    for number, (name, points) in enumerate(of_line.items()):
        x, y = zip(*sorted(points), strict=True)
        style = number % len(COLOURS)
        dash = "-" if number < len(COLOURS) else "--"
        axes.plot(x, y, dash, color=COLOURS[style], marker=MARKERS[style], markersize=4, label=name)
    if column == "masks to winners":
        axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    _label(axes, sorted({row[plot.x] for row in rows if row.get("hidden layers") == 2 or plot.line == "net"}))
    axes.set_xlabel("share of winners" if plot.x == "share" else plot.x)
    axes.set_ylabel(f"{column} per training step" if column == "ms" else column)
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False, fontsize=7)


def _label(axes: "Axes", x: Sequence[float]) -> None:
    """Make both axes logarithmic, with plain numbers beside the ticks."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(x, [f"{value:g}" for value in x], fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


def _line(row: dict[str, Any], column: str) -> str:
    if column == "net":
        return f"784-{'-'.join([str(row['width'])] * row['hidden layers'])}-10"
    return str(row[column])

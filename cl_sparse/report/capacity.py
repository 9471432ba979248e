"""What the capacity probe has measured after the last task, layer by layer."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from cl_sparse.metrics import mean_std
from cl_sparse.report import numbers
from cl_sparse.report.rows import Group, Result, group_results, row_of
from cl_sparse.report.table import markdown, seeds

_MEASURED = {
    **{"dead": "dead, %", "total_std": "Σ std", "shapiro_w": "W", "exponential_weight": "π (exponential)"},
    **{"gamma_weight": "π (gammas)", "effective_rank": "effective rank", "components": "components for 99 %"},
}
_HEADS = ("experiment", "layer", "units", *_MEASURED.values(), "ACC", "seeds")


def capacity_table(results: Iterable[Result]) -> str:
    """A line for each hidden layer of each experiment with the probe, as Markdown: means over the seeds."""
    groups = [group for group in group_results(results) if all(_layers(stats) for _, stats in group.results)]
    lines = [_line(group, layer) for group in groups for layer in _layers(group.results[0][1])]
    return markdown(_HEADS, lines, [head not in ("experiment", "layer") for head in _HEADS])


def _layers(stats: dict[str, Any]) -> dict[str, Any]:
    layers: dict[str, Any] = stats.get("mechanisms", {}).get("capacity_probe", {}).get("layers", {})
    return layers


def _line(group: Group, layer: str) -> list[str]:
    measured = [_layers(stats)[layer] for _, stats in group.results]

    def mean(key: str) -> float:
        return mean_std(float(np.asarray(one[key])[-1]) for one in measured).mean

    units, row = mean("units"), row_of(group)
    values = {key: mean(key) for key in _MEASURED} | {"dead": 100 * mean("dead") / units}
    return [
        group.label,
        layer.removeprefix("features."),
        f"{units:.0f}",
        *(f"{value:.3g}" if value == value else numbers.UNDEFINED for value in values.values()),
        numbers.spread(row.acc),
        seeds(row),
    ]

"""The honest list: where, of what was measured, dense arithmetic is faster than the sparse layers."""

from collections.abc import Mapping
from typing import Any

from perf.sparse_nets import STREAMED


def where_dense_wins(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line per measured point at which a dense net, or masks over one, took less time.

    Args:
        figures: what ``python -m perf`` wrote, by case.
    """
    return [*_dense_weights(figures), *_sparse_weights(figures)]


def _dense_weights(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = figures.get("crossover", {"rows": []})["rows"]
    return [
        f"dense weights, {row['hidden layers']} × {row['width']} units, {row['share']:.1%} winners: masks take "
        f"{row['masks, fused SGD: ms']} ms, computing only what wins {row['winners: ms']} ms"
        for row in rows
        if row["masks to winners"] < 1
    ]


def _sparse_weights(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [row for case in ("density", "winner_share") for row in figures.get(case, {"rows": []})["rows"]]
    return [
        f"2 × {row['width']} units, {row['density']:.0%} of the weights, {row['share of winners']:.1%} winners: dense "
        f"takes {row['ms'] * row['faster than dense']:.0f} ms, live synapses only {row['ms']} ms"
        for row in rows
        if row["contender"] == STREAMED and row["faster than dense"] < 1
    ]

"""Parameters and recorded numbers of a result, by the names that experiments, sweeps and documents give them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cl_sparse import metrics
from cl_sparse.config.identity import with_defaults

_OF_A_LIST: dict[str, Callable[..., Any]] = {
    "best": np.max,
    "lowest": np.min,
    "mean": np.mean,
    "columns": np.transpose,
}


# Not recorded itself, but of what is: ACC and the like of the accuracy matrix, and how many units tasks share.
_COMPUTED: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "acc": lambda stats: metrics.average_accuracy(stats["accs"]),
    "forgetting": lambda stats: metrics.forgetting(stats["accs"]),
    "learning_accuracy": lambda stats: metrics.learning_accuracy(stats["accs"]),
    "shared_units": lambda stats: _between_tasks(stats["overlap"]),
    "shared_units_by_chance": lambda stats: _between_tasks(stats["overlap_chance"]),
}


def setting(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a parameter, named as ``--set`` names it; None where it is absent.

    Args:
        config: as a result holds it.
        key: ``lr``, ``stream.ARGUMENT``, ``plugins.NAME.ARGUMENT``, with ``.KEY`` behind it where that is a mapping.
    """
    first, *rest = key.split(".")
    value: Any = with_defaults(config).get(first)
    if first == "plugins" and rest:
        name, *rest = rest
        value = next((plugin for plugin in value if plugin["name"] == name), None)
    for part in rest:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def recorded(stats: Mapping[str, Any], path: str) -> Any:
    """Return something that a result has recorded.

    Args:
        stats: the result's statistics.
        path: keys, one behind the other: ``per_epoch.test_accuracy``; in a list also places (``0``, ``-1``), ``last``,
            ``best`` (the highest), ``lowest`` and ``mean``, and in a list of lists ``columns``: ``squares.columns.6``.
            ``ONE / OTHER`` is a ratio, of lists number by number. Or ``acc``, ``forgetting``, ``learning_accuracy``; or
            ``shared_units``, the overlap of two tasks' units (:func:`cl_sparse.metrics.unit_overlap`), the mean over
            layers and pairs of tasks, and ``shared_units_by_chance``.

    Raises:
        KeyError: there is no such thing in it.
    """
    if " / " in path:
        above, below = (np.asarray(recorded(stats, one), dtype=np.float64) for one in path.split(" / ", 1))
        return above / below
    if path in _COMPUTED:
        return _COMPUTED[path](stats)
    value: Any = stats
    for part in path.split("."):
        try:
            if isinstance(value, Mapping):
                value = value[part]
            elif part in _OF_A_LIST:
                value = _OF_A_LIST[part](np.asarray(value, dtype=np.float64))
            else:
                value = value[-1 if part == "last" else int(part)]
        except (KeyError, IndexError, ValueError, TypeError):
            raise KeyError(path) from None
    return value


def _between_tasks(overlap: Mapping[str, Any]) -> float:
    if not overlap:
        raise KeyError("no layer of which units would be shared")
    pairs = [np.asarray(of_layer)[~np.eye(len(of_layer), dtype=bool)] for of_layer in overlap.values()]
    return float(np.mean(pairs))

"""Parameters and recorded numbers of a result, by the names that experiments, sweeps and documents give them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cl_sparse.config.identity import with_defaults

_OF_A_LIST: dict[str, Callable[..., Any]] = {
    "best": np.max,
    "lowest": np.min,
    "mean": np.mean,
    "columns": np.transpose,
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
            ``ONE / OTHER`` is a ratio, of lists number by number.

    Raises:
        KeyError: there is no such thing in it.
    """
    if " / " in path:
        above, below = (np.asarray(recorded(stats, one), dtype=np.float64) for one in path.split(" / ", 1))
        return above / below
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

"""Widths that another experiment's net has learned, for a net that begins with them: the control without learning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.identity import differing
from cl_sparse.errors import UserError
from cl_sparse.results import find_results, load_complete_result, parse_file_name

_MAY_DIFFER = {
    *("name", "plugins", "train_ep", "train_ep_inc"),
    *("hidden_units", "conv_channels", "widths", "widths_from"),
}


def with_learned_widths(config: ExperimentConfig, seed: int, results_dir: Path) -> ExperimentConfig:
    """Return the experiment with the widths that the net of ``widths_from`` ended with, with the same seed.

    Of several results the newest counts. One that differs from the experiment in more than plugins, epochs and widths
    would be no control, and does not count.

    Args:
        config: the experiment; where ``widths_from`` is null, it is returned as it is.
        seed: of the run.
        results_dir: where the result is; need not exist.

    Raises:
        UserError: there is no finished result that counts, or it cannot be read.
    """
    if config.widths_from is None:
        return config
    stats, other = None, ""
    for path in find_results(results_dir, config.widths_from) if results_dir.is_dir() else []:
        parsed = parse_file_name(path)
        if parsed is None or parsed.seed != seed:
            continue
        stored, found = load_complete_result(path)
        unlike = [key for key in differing(stored, config.identity()) if key not in _MAY_DIFFER]
        if unlike:
            other = f" (the one there has other values of {', '.join(unlike)})"
        elif found.get("stopped") is None and found.get("units"):
            stats = found
    if stats is None:
        raise UserError(
            f"{config.place('widths_from')}: {config.widths_from} has no finished result with seed {seed} and these "
            f"settings in {results_dir}{other}: run it first, or name both"
        )
    return config.model_copy(update=_widths(stats["units"][-1]))


def _widths(units: Mapping[str, int]) -> dict[str, Any]:
    """Return the parameters that say how wide hidden layers are, from units by name of the layer."""
    hidden = {layer.removeprefix("features."): n for layer, n in units.items() if layer.startswith("features.")}
    convolutions = [n for layer, n in hidden.items() if layer.startswith("conv")]
    widths = [n for layer, n in hidden.items() if layer.startswith("fc")]
    return {"widths": widths, "widths_from": None} | ({"conv_channels": convolutions} if convolutions else {})

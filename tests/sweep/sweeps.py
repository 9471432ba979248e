"""Small sweeps for tests."""

from pathlib import Path
from typing import Any

import yaml

from cl_sparse.config.experiments import load_experiments
from cl_sparse.sweep.protocol import Method, methods_of
from cl_sparse.sweep.spec import Sweep, load_sweep

SMALL = {"train_ep": 1, "train_subset": 100, "test_subset": 50, "num_batch": 2}
GRID = {
    "experiments": ["quickstart_dense"],
    "set": SMALL,
    "space": {"lr": [0.05, 0.1], "hidden_units": [20, 30]},
    "seeds": [0, 1],
}
TUNED = {
    "experiments": ["quickstart_dense", "split_digits"],
    "set": {**SMALL, "hidden_units": 20},
    "space": {"lr": [0.02, 0.1]},
    "select": {"seeds": [100, 101], "trials": 2, "share": 0.2},
    "report": {"seeds": [0, 1]},
}
SPLIT = {"split_digits": {"inherits": "quickstart_dense", "benchmark": "SplitDigits", "scenario": "class"}}
SPLIT |= {key: {"inherits": "quickstart_dense"} for key in ("plain", "plain_tuned")}


def write(folder: Path, content: dict[str, Any], name: str = "s.yaml") -> Path:
    """Write a sweep, and beside it the experiments of its own that it names."""
    (folder / "exps").mkdir(exist_ok=True)
    (folder / "exps" / "mine.yaml").write_text(yaml.safe_dump(SPLIT))
    path = folder / name
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def loaded(folder: Path, content: dict[str, Any]) -> Sweep:
    """Return the sweep as a file that holds ``content`` gives it."""
    return load_sweep(write(folder, content))


def methods(folder: Path, content: dict[str, Any]) -> dict[str, Method]:
    """Return the sweep's experiments by name."""
    sweep = loaded(folder, content)
    return {method.name: method for method in methods_of(sweep, load_experiments())}

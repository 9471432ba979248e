"""A result with everything in it that results may hold, and its comparison."""

import math
from datetime import datetime

import numpy as np

WHEN = datetime(2026, 11, 21, 6, 45, 0, 123456)
NAN = float("nan")


def same(a, b):
    """Equal in value, type, dtype and shape; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def example():
    config = {
        "name": "quickstart",
        "heads": None,
        "lr": 0.1,
        "plugins": [{"name": "replay", "size": 20}],
        "cumul": False,
    }
    stats = {
        "accs": np.array([[0.9, NAN], [0.5, 0.8]]),
        "val_accs": None,
        "on_idxs": {"features.act1": np.arange(4)},
        "unit_use": {"features.act1": np.array([[0.1, 0.25]], dtype=np.float32)},
        "steps": [10, 20],
        "seconds": {"train": [1.5, NAN], "total": math.inf},
        "a/b~c": np.zeros((0, 3), dtype=np.float32),
        "stopped": None,
    }
    return config, stats


def finished(name="dense", seed=0, *, accs=None, n_tasks=3, joint=False, config=None, **stats):
    """Return ``(config, stats)`` of a run that never was."""
    rng = np.random.default_rng(seed)
    if accs is None:
        accs = rng.uniform(0.5, 1, (n_tasks, n_tasks))
        if joint:
            accs[:-1] = NAN
    n_tasks = len(accs)
    return (
        {"name": name, "description": "", "seeds": 3, "seed": seed, "train_ep": 2, "train_ep_inc": None}
        | (config or {}),
        {
            "accs": np.asarray(accs),
            "accs_init": np.full(n_tasks, 0.1),
            "active_share": {"act1": np.array([0.5, 0.01]), "act2": np.array([0.5, 0.03])},
            "unit_use": {"act1": np.ones((n_tasks, 40), dtype=np.float32)},
            "on_idxs": {"act1": np.ones(40, dtype=np.int64)},
            "parameters": 3_181_010,
            "live_synapses": 317_600,
            "synapse_positions": 3_176_000,
            "steps": [938] if joint else [938] * n_tasks,
            "seconds": {"train": [100.0], "eval": [20.0], "total": 120.0 + seed},
            "strategy": "joint" if joint else "sequential",
            "scenario": "domain",
            "heads": "single",
            "task_info_train": "none",
            "task_info_test": "none",
            "benchmark": {"name": "PermutedMNIST", "dataset": "mnist"},
            "seed": seed,
            "stopped": None,
        }
        | stats,
    )


def visible(folder):
    return sorted(path.name for path in folder.iterdir())

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


def visible(folder):
    return sorted(path.name for path in folder.iterdir())

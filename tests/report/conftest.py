from collections.abc import Callable

import numpy as np
import pytest

NAN = float("nan")


def _result(name="dense", seed=0, *, accs=None, n_tasks=3, joint=False, config=None, **stats):
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


@pytest.fixture
def result() -> Callable[..., tuple[dict, dict]]:
    """Build ``(config, stats)`` of a run that never was."""
    return _result

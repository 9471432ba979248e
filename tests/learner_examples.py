"""Every shipped strategy, dense or sparse, as small experiments on the digits."""

SPARSE = {
    "sparsify": True,
    "percent_on_fc": 0.1,
    "weight_sparsity_fc": 0.3,
    "boost_strength": 1.4,
    "boost_strength_factor": 0.7,
}
LEARNERS = {
    "sequential": {},
    "sequential_sparse": SPARSE,
    "sequential_adam": {**SPARSE, "optimizer": "adam", "lr": 0.005},
    "winners": {**SPARSE, "weight_sparsity_fc": 1.0, "hidden_layers": 2, "compute": "winners"},
    "winners_independent": {**SPARSE, "weight_sparsity_fc": 1.0, "strategy": "independent", "compute": "winners"},
    "sparse_weights": {**SPARSE, "weights": "sparse", "hidden_layers": 2},
    "joint": {"strategy": "joint"},
    "source_cumul": {"cumul": True},
    "cumulative": {"strategy": "cumulative"},
    "independent": {**SPARSE, "strategy": "independent"},
    "replay": {"strategy": "replay"},
    "domain": {**SPARSE, "scenario": "domain"},
    "class_seen": {**SPARSE, "scenario": "class", "loss_outputs": "seen"},
    "class_current_replay": {"scenario": "class", "loss_outputs": "current", "strategy": "replay"},
    "masked_head": {"heads": "single"},
    "permuted": {**SPARSE, "benchmark": "PermutedDigits", "num_batch": 4},
    "validation": {"validation": 0.2},
    "frozen": {**SPARSE, "plugins": [{"name": "frozen", "share": 0.5, "leave": ["classifier*"]}]},
    "frozen_winners": {
        **SPARSE,
        "weight_sparsity_fc": 1.0,
        "compute": "winners",
        "plugins": [{"name": "frozen", "rule": "random"}],
    },
    "synaptic_intelligence": {**SPARSE, "scenario": "domain", "plugins": [{"name": "synaptic_intelligence"}]},
    "slow_winners": {
        **SPARSE,
        "weight_sparsity_fc": 1.0,
        "hidden_layers": 2,
        "weight_decay": 0,
        "compute": "winners",
        "plugins": [{"name": "synaptic_intelligence", "mode": "slow", "c": 10}],
    },
}

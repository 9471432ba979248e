"""What training in bfloat16 gains over float32, by the net's width."""

import statistics

from cl_sparse.config.experiments import load_experiments
from cl_sparse.run import build
from perf.timing import seconds_a_step

BASE = "permuted_mnist_10_sequential"
ONE_TASK = {"num_batch": 1, "train_ep": 1, "train_subset": 12_800, "test_subset": 1000, "record_stats": False}
CNN = {"cnn": True, "conv_channels": [32, 64], "kernel_size": 3, "padding": True, "pool": 2, "hidden_layers": 1}
NETS: dict[str, dict[str, object]] = {
    "784-400-400-10": {"hidden_units": 400},
    "784-1000-1000-10": {"hidden_units": 1000},
    "784-2000-2000-10": {"hidden_units": 2000},
    "3x3 convolutions 32, 64, pooled": {**CNN, "hidden_units": 256},
}
PRECISIONS = ("float32", "bf16")


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return the time of a training step of each net in either precision, and their ratio."""
    rows: list[dict[str, object]] = []
    for net, settings in NETS.items():
        configs = {
            own: load_experiments().config(BASE, {**ONE_TASK, **settings, "precision": own}) for own in PRECISIONS
        }
        benchmark = build.build_benchmark(configs["float32"], 0, None)
        times: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        for timed in range(rounds + 1):
            for precision, config in configs.items():
                seconds = seconds_a_step(config, benchmark, 0)
                if timed:
                    times[precision].append(seconds)
        full, half = (times[precision] for precision in PRECISIONS)
        rows.append(
            {
                "net": net,
                "float32: ms a step": round(1e3 * statistics.median(full), 2),
                "bf16: ms a step": round(1e3 * statistics.median(half), 2),
                "x faster": round(statistics.median(a / b for a, b in zip(full, half, strict=True)), 2),
            }
        )
    return rows

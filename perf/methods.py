"""What each method against forgetting costs beside plain training, in its second task."""

import statistics

from benchmarks.base import Benchmark
from cl_sparse.config.experiments import load_experiments
from cl_sparse.run import build
from perf.timing import seconds_a_step

FAMILY = "permuted_mnist_10_"
PLAIN = "sequential"
VARIANTS = ("_tuned", "_wide")  # of the same methods
LEFT_OUT = ("joint", "gdumb", "narrow")  # the first two train otherwise than task after task; the last is another net
SMALL = {"num_batch": 2, "train_ep": 2, "train_subset": 6400, "test_subset": 1000, "record_stats": False}


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return the time of a step in the second task, what is computed at its end included, and its ratio to plain."""
    catalogue = load_experiments()
    known = [entry.name for entry in catalogue.experiments]
    names = [name.removeprefix(FAMILY) for name in known if name.startswith(FAMILY) and not name.endswith(VARIANTS)]
    configs = {name: catalogue.config(FAMILY + name, SMALL) for name in names if name not in LEFT_OUT}
    streams: dict[str, Benchmark] = {}
    times: dict[str, list[float]] = {name: [] for name in configs}
    for timed in range(rounds + 1):
        for name, config in configs.items():
            scenario = config.effective_scenario
            if scenario not in streams:
                streams[scenario] = build.build_benchmark(config, 0, None)
            seconds = seconds_a_step(config, streams[scenario], 1)
            if timed:
                times[name].append(seconds)
    return [
        {
            "method": name,
            "ms a step": round(1e3 * statistics.median(own), 2),
            "x plain training": round(statistics.median(a / b for a, b in zip(own, times[PLAIN], strict=True)), 2),
        }
        for name, own in times.items()
    ]

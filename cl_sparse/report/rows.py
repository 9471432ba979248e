"""Results of one experiment over its seeds, as one row of a table."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cl_sparse.config.identity import differing, with_defaults, without_defaults
from cl_sparse.errors import UserError
from cl_sparse.metrics import MeanStd, mean_std, summary

Result = tuple[dict[str, Any], dict[str, Any]]  # (config, stats), as load_complete_result gives it
_BULKY = ("unit_use", "on_idxs")  # one number per unit: most of a result's size, and no table shows them


def slim(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statistics without what is there per unit."""
    return {key: value for key, value in stats.items() if key not in _BULKY}


@dataclass(frozen=True)
class Group:
    """The runs of one experiment: same config, one per seed.

    Attributes:
        label: the experiment's name; with the parameters that differ, where several configs go by one name.
        results: in the order of their seeds.
    """

    label: str
    results: list[Result]

    @property
    def matrices(self) -> list[NDArray[np.float64]]:
        """The accuracy matrix of every run, (T, T)."""
        return [np.asarray(stats["accs"], dtype=np.float64) for _, stats in self.results]


@dataclass(frozen=True)
class Row:
    """One experiment. Numbers are means over the seeds, NaN where undefined.

    Attributes:
        experiment: label of the group.
        benchmark: the stream's name and the data it is made of, if its name does not say.
        score: what R holds, and with it all that is computed of it: "accuracy", or "r2".
        task_info_train, task_info_test: what the learner is told about the task.
        acc, bwt, forgetting, aia, fwt: mean and sample deviation over the seeds, 0..1.
        n_seeds: runs counted; ``stopped`` of them did not come to their end.
        density: live synapses ÷ weight positions, 0..1.
        active_percent: share of the units that are on, mean over the layers, last training epoch, percent.
        carried_bytes: the most that is carried from a task to the next beyond weights and biases.
        winners: the share of winners that a method has as argument, 0..1.
        parameters: all weights, live or not, and biases.
        epochs: on the first task, and on later ones where that differs.
        steps: optimizer steps over the whole stream.
        seconds: training and testing.
    """

    experiment: str
    benchmark: str
    score: str
    scenario: str
    heads: str
    strategy: str
    task_info_train: str
    task_info_test: str
    n_seeds: int
    stopped: int
    acc: MeanStd
    bwt: MeanStd
    forgetting: MeanStd
    aia: MeanStd
    fwt: MeanStd
    density: float
    active_percent: float
    carried_bytes: float
    winners: float
    parameters: float
    live_synapses: float
    epochs: str
    steps: float
    seconds: float


def rows_of(results: Iterable[Result]) -> list[Row]:
    """Average the results of every experiment over its seeds.

    Args:
        results: ``(config, stats)`` of any number of runs. Of two with the same config and seed the later one counts.

    Returns:
        One row per experiment, in the order of first appearance.
    """
    return [row_of(group) for group in group_results(results)]


def group_results(results: Iterable[Result]) -> list[Group]:
    """Sort results into experiments. Runs with different configs or data are never averaged, whatever their names.

    Raises:
        UserError: runs of one experiment are not of equally many tasks.
    """
    found: list[tuple[Result, dict[int, Result]]] = []
    for config, stats in results:
        runs = next((runs for known, runs in found if _is_one_experiment(known, (config, stats))), None)
        if runs is None:
            runs = {}
            found.append(((config, stats), runs))
        runs[stats["seed"]] = config, stats
    for (config, _), runs in found:
        n_tasks = sorted({len(stats["accs"]) for _, stats in runs.values()})
        if len(n_tasks) > 1:
            raise UserError(
                f"{config['name']}: its results are of {' and '.join(map(str, n_tasks))} tasks, though its settings "
                "are the same: move those aside that are not its own"
            )
    labels = _labels([first for first, _ in found])
    return [Group(label, [runs[seed] for seed in sorted(runs)]) for label, (_, runs) in zip(labels, found, strict=True)]


def data_fingerprint(stats: Mapping[str, Any]) -> str | None:
    """Return the fingerprint of the data that a result was made with; None if it does not say."""
    benchmark = stats.get("benchmark")
    found = benchmark.get("fingerprint") if isinstance(benchmark, Mapping) else None
    return None if found is None else str(found)


def row_of(group: Group) -> Row:
    """Average one experiment over its seeds."""
    config, first = group.results[0]
    runs = [stats for _, stats in group.results]
    scalars = [summary(s["accs"], s["accs_init"], s["scenario"], heads=s["heads"]) for s in runs]
    spread = {name: mean_std(run[name] for run in scalars) for name in ("acc", "bwt", "forgetting", "aia", "fwt")}
    return Row(
        experiment=group.label,
        benchmark=_benchmark(first["benchmark"]) + ", R²" * (first.get("score") == "r2"),
        score=first.get("score", "accuracy"),
        scenario=first["scenario"],
        heads=first["heads"],
        strategy=str(first.get("strategy", config.get("strategy", ""))),
        task_info_train=first["task_info_train"],
        task_info_test=first["task_info_test"],
        n_seeds=len(runs),
        stopped=sum(stats.get("stopped") is not None for stats in runs),
        density=_mean(_density(stats) for stats in runs),
        active_percent=_mean(_active_percent(stats) for stats in runs),
        carried_bytes=_mean(_carried_bytes(stats) for stats in runs),
        winners=_winners(config),
        parameters=_mean(stats["parameters"] for stats in runs),
        live_synapses=_mean(stats["live_synapses"] for stats in runs),
        epochs=_epochs(config, n_trained=max(len(stats["steps"]) for stats in runs)),
        steps=_mean(sum(stats["steps"]) for stats in runs),
        seconds=_mean(stats["seconds"]["total"] for stats in runs),
        **spread,
    )


def _is_one_experiment(one: Result, other: Result) -> bool:
    data = {data_fingerprint(stats) for _, stats in (one, other)} - {None}
    return len(data) < 2 and not differing(one[0], other[0])


def _labels(experiments: Sequence[Result]) -> list[str]:
    labels = []
    for config, stats in experiments:
        namesakes = [other for other in experiments if other[0]["name"] == config["name"]]
        keys = sorted({key for other, _ in namesakes for key in differing(namesakes[0][0], other)})
        said = with_defaults(config) | without_defaults(config)
        values = [f"{key}={_short(said.get(key))}" for key in keys]
        if len({data_fingerprint(other) for _, other in namesakes}) > 1:
            values.append(f"data={data_fingerprint(stats) or 'unknown'}")
        labels.append(f"{config['name']} ({', '.join(values)})" if values else str(config["name"]))
    return labels


def _short(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(part, dict) and "name" in part for part in value):
        return " ".join(map(_plugin, value))
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _plugin(plugin: Mapping[str, Any]) -> str:
    arguments = ", ".join(f"{key}={_short(value)}" for key, value in plugin.items() if key != "name")
    return f"{plugin['name']}({arguments})" if arguments else str(plugin["name"])


def _benchmark(described: Mapping[str, Any]) -> str:
    name, dataset = str(described["name"]), str(described.get("dataset", ""))
    return name if not dataset or dataset.replace("_", "") in name.lower() else f"{name} ({dataset})"


def _density(stats: Mapping[str, Any]) -> float:
    positions = stats.get("synapse_positions", 0)
    return stats["live_synapses"] / positions if positions else math.nan


def _active_percent(stats: Mapping[str, Any]) -> float:
    last = [epochs[-1] for epochs in stats["active_share"].values() if len(epochs)]
    return 100 * _mean(last)


def _carried_bytes(stats: Mapping[str, Any]) -> float:
    """Return the most bytes after a task; NaN if the result is from before they were counted."""
    tasks = [sum(owners.values()) for owners in stats.get("carried_bytes") or []]
    return max(tasks, default=math.nan)


def _winners(config: Mapping[str, Any]) -> float:
    found = [plugin["winners"] for plugin in config.get("plugins") or [] if plugin.get("winners")]
    return float(found[0]) if found else math.nan


def _epochs(config: Mapping[str, Any], n_trained: int) -> str:
    first, later = config.get("train_ep"), config.get("train_ep_inc")
    return f"{first}" if later in (None, first) or n_trained < 2 else f"{first}, then {later}"


def _mean(values: Iterable[float]) -> float:
    return mean_std(float(value) for value in values).mean

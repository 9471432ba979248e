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
        task_info_train, task_info_test: what the learner is told about the task.
        acc, bwt, forgetting, aia, fwt: mean and sample deviation over the seeds, 0..1.
        n_seeds: runs counted; ``stopped`` of them did not come to their end.
        density: live synapses ÷ weight positions, 0..1.
        active_percent: share of the units that are on, mean over the layers, last training epoch, percent.
        parameters: all weights, live or not, and biases.
        epochs: on the first task, and on later ones where that differs.
        steps: optimizer steps over the whole stream.
        seconds: training and testing.
    """

    experiment: str
    benchmark: str
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
    """Sort results into experiments. Runs with different configs are never averaged, whatever their names.

    Raises:
        UserError: runs of one experiment are not of equally many tasks.
    """
    found: list[tuple[dict[str, Any], dict[int, Result]]] = []
    for config, stats in results:
        runs = next((runs for known, runs in found if not differing(known, config)), None)
        if runs is None:
            runs = {}
            found.append((config, runs))
        runs[stats["seed"]] = config, stats
    for config, runs in found:
        n_tasks = sorted({len(stats["accs"]) for _, stats in runs.values()})
        if len(n_tasks) > 1:
            raise UserError(
                f"{config['name']}: its results are of {' and '.join(map(str, n_tasks))} tasks, though its settings "
                "are the same: move those aside that are not its own"
            )
    labels = _labels([config for config, _ in found])
    return [Group(label, [runs[seed] for seed in sorted(runs)]) for label, (_, runs) in zip(labels, found, strict=True)]


def row_of(group: Group) -> Row:
    """Average one experiment over its seeds."""
    config, first = group.results[0]
    runs = [stats for _, stats in group.results]
    scalars = [summary(s["accs"], s["accs_init"], s["scenario"], heads=s["heads"]) for s in runs]
    spread = {name: mean_std(run[name] for run in scalars) for name in ("acc", "bwt", "forgetting", "aia", "fwt")}
    return Row(
        experiment=group.label,
        benchmark=_benchmark(first["benchmark"]),
        scenario=first["scenario"],
        heads=first["heads"],
        strategy=str(first.get("strategy", config.get("strategy", ""))),
        task_info_train=first["task_info_train"],
        task_info_test=first["task_info_test"],
        n_seeds=len(runs),
        stopped=sum(stats.get("stopped") is not None for stats in runs),
        density=_mean(_density(stats) for stats in runs),
        active_percent=_mean(_active_percent(stats) for stats in runs),
        parameters=_mean(stats["parameters"] for stats in runs),
        live_synapses=_mean(stats["live_synapses"] for stats in runs),
        epochs=_epochs(config, n_trained=max(len(stats["steps"]) for stats in runs)),
        steps=_mean(sum(stats["steps"]) for stats in runs),
        seconds=_mean(stats["seconds"]["total"] for stats in runs),
        **spread,
    )


def _labels(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = []
    for config in configs:
        namesakes = [other for other in configs if other["name"] == config["name"]]
        keys = sorted({key for other in namesakes for key in differing(namesakes[0], other)})
        said = with_defaults(config) | without_defaults(config)
        values = ", ".join(f"{key}={_short(said.get(key))}" for key in keys)
        labels.append(f"{config['name']} ({values})" if values else str(config["name"]))
    return labels


def _short(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _benchmark(described: Mapping[str, Any]) -> str:
    name, dataset = str(described["name"]), str(described.get("dataset", ""))
    return name if not dataset or dataset.replace("_", "") in name.lower() else f"{name} ({dataset})"


def _density(stats: Mapping[str, Any]) -> float:
    positions = stats.get("synapse_positions", 0)
    return stats["live_synapses"] / positions if positions else math.nan


def _active_percent(stats: Mapping[str, Any]) -> float:
    last = [epochs[-1] for epochs in stats["active_share"].values() if len(epochs)]
    return 100 * _mean(last)


def _epochs(config: Mapping[str, Any], n_trained: int) -> str:
    first, later = config.get("train_ep"), config.get("train_ep_inc")
    return f"{first}" if later in (None, first) or n_trained < 2 else f"{first}, then {later}"


def _mean(values: Iterable[float]) -> float:
    return mean_std(float(value) for value in values).mean

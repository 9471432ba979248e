"""The tuning protocol: choose on validation streams, then test what was chosen on streams of other seeds.

A chosen setting has seen no test sample, and no stream that it is tested on: selection runs have seeds of their own,
from which permutations, subsets and the validation split are drawn, and where an experiment splits classes in natural
order, which is the same for all seeds, selection runs take a random order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.experiments import Catalogue
from cl_sparse.config.registry import BENCHMARKS
from cl_sparse.errors import UserError
from cl_sparse.metrics import summary
from cl_sparse.sweep.space import Point
from cl_sparse.sweep.spec import LESS_IS_BETTER, Select, Sweep

TUNED = "_tuned"  # ends the name of a chosen experiment


@dataclass(frozen=True, eq=False)
class Method:
    """One experiment of a sweep, and what its trials are made of."""

    sweep: Sweep
    catalogue: Catalogue
    name: str

    def at(self, point: Point) -> ExperimentConfig:
        """Return the experiment at a point of the space, as its trials run while points are compared.

        Raises:
            UserError: the point makes no experiment, or none that can be chosen among.
        """
        select = self.sweep.select
        if select is None:
            return self._config(point, {})
        config = self._config(point, {} if self._config(point, {}).validation else {"validation": select.share})
        if config.stream_seed is not None:
            raise UserError(
                f"{config.place('stream_seed')}: {config.stream_seed}: selection and report would share their streams: "
                "set it to null"
            )
        if BENCHMARKS[config.effective_benchmark].kind == "split" and config.class_order != "random":
            extra = {"validation": config.validation, "class_order": "random"}
            config = self._config(point, extra)
        return config

    def chosen(self, point: Point) -> ExperimentConfig:
        """Return the experiment at the chosen point, as it is tested."""
        config = self._config(point, {})
        return config.model_copy(update={"name": f"{self.name}{TUNED}"})

    def _config(self, point: Point, more: Mapping[str, Any]) -> ExperimentConfig:
        settings = {**self.sweep.settings, **point, **more}
        places = {key: f"{self.sweep.file}: set.{key}" for key in self.sweep.settings}
        own = self.sweep.spaces.get(self.name, {})
        for key in point:
            places[key] = f"{self.sweep.file}: {f'spaces.{self.name}' if key in own else 'space'}.{key}"
        places |= dict.fromkeys(more, f"{self.sweep.file}: select")
        return self.catalogue.config(self.name, settings, places)


def methods_of(sweep: Sweep, catalogue: Catalogue) -> list[Method]:
    """Return the experiments of a sweep.

    Raises:
        UserError: one is unknown, goes by the name of another's best point, or has a space without being in the sweep.
    """
    selections = catalogue.select(sweep.experiments, option=f"{sweep.file}: experiments")
    names = list(dict.fromkeys(config.name for selection in selections for config in selection.configs))
    for name in names:
        if sweep.select is not None and f"{name}{TUNED}" in names:
            raise UserError(
                f"{sweep.file}: experiments: {name}{TUNED} is what the best of {name} goes by: leave one out"
            )
    for name in sweep.spaces:
        if name not in names:
            raise UserError(f"{sweep.file}: spaces.{name}: is none of the sweep's experiments: {', '.join(names)}")
    for config in (config for selection in selections for config in selection.configs):
        if config.widths_from is not None:
            raise UserError(
                f"{sweep.file}: experiments: {config.name} takes its widths from a result of {config.widths_from}, "
                "which has many in a sweep: name both to cl-sparse run"
            )
    return [Method(sweep, catalogue, name) for name in names]


def worth(select: Select | None, stats: Mapping[str, Any]) -> float:
    """Return what a trial counts for; NaN if it was stopped.

    It is the metric of the accuracies on the validation split, or on the test split where nothing is chosen.
    """
    if stats.get("stopped") is not None:
        return float("nan")
    matrix = stats["val_accs"] if select is not None else stats["accs"]
    metric = "acc" if select is None else select.metric
    return summary(np.asarray(matrix), None, stats["scenario"], heads=stats["heads"])[metric]


def ranked(select: Select, values: Mapping[int, float]) -> list[int]:
    """Return the points' numbers, best first; of equal ones the earlier; those that came to nothing are left out."""
    sign = 1 if select.metric in LESS_IS_BETTER else -1
    finished = [number for number, value in values.items() if not np.isnan(value)]
    return sorted(finished, key=lambda number: (sign * values[number], number))

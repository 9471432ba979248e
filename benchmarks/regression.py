"""What benchmarks share whose targets are numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from benchmarks.base import Benchmark, DataOptions
from cl_sparse.data.image_data import ImageData
from cl_sparse.data.stream import TaskStream
from cl_sparse.data.subsets import balanced_subset
from cl_sparse.data.targets import TargetStream, number_data
from cl_sparse.errors import SettingError


def _subsets(data: ImageData, train: int | None, test: int | None, seed: int) -> ImageData:
    """Return the data with so many samples, as many of each task."""
    n_tasks = len(data.class_names)
    if train is not None:
        rows = balanced_subset(data.y_train, train, n_tasks, seed, "train_subset")
        data = replace(data, x_train=data.x_train[rows], y_train=data.y_train[rows])
    if test is not None:
        rows = balanced_subset(data.y_test, test, n_tasks, seed, "test_subset")
        data = replace(data, x_test=data.x_test[rows], y_test=data.y_test[rows])
    return data


class RegressionBenchmark(Benchmark):
    """A stream of tasks of regression. Nets have one output, and the score in R is R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)².

    ȳ is the mean of the targets that are tested on: a net that always says it has 0, a worse one less, a perfect one 1.
    Whatever is computed of R (ACC, BWT, forgetting) is of R² then. Inputs and targets are standardised by the first
    task's training data; ``describe()`` gives the targets' deviation there, in the data's units, and each task's
    variance of the test targets in units of its square, so that errors can be had: MSE = (1 − R²) · variance · σ².

    Args:
        train, test: of each task the inputs (n, D) and targets (n,).
        name: of the benchmark.
        dataset: the data set's name.
        source: where the data come from.
        options: as the benchmark was called with; "normalize" has to be "standard".
        fingerprint: of the data set; None: of the data given. Data that are drawn anew for each seed give one that all
            seeds have, so that these are runs of one experiment.
        settings: the benchmark's own settings.
    """

    score = "r2"

    def __init__(
        self,
        train: Sequence[tuple[Tensor, Tensor]],
        test: Sequence[tuple[Tensor, Tensor]],
        *,
        name: str,
        dataset: str,
        source: str,
        options: DataOptions,
        fingerprint: str | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        if options.get("normalize", "standard") != "standard":
            raise SettingError("normalize", f"{options['normalize']!r} is for images: choose standard")
        data, _, std = number_data(dataset, train, test, source)
        if fingerprint is not None:
            data = replace(data, fingerprint=fingerprint)
        data = _subsets(data, options.get("train_subset"), options.get("test_subset"), options.get("seed", 0))
        super().__init__(
            data,
            name=name,
            scenario="domain",
            task_classes=[[task] for task in range(len(train))],
            options=options,
            settings={"target_deviation": std, **(settings or {})},
        )
        tests = [self.tensors["test"].labels(task).double() for task in range(len(train))]
        self.settings["target_variances"] = [float(targets.var(correction=0)) for targets in tests]

    def _stream(self, *arguments: Any, **keywords: Any) -> TaskStream:
        return TargetStream(*arguments, **keywords)

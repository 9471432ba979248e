"""One task of a stream, with the attributes of Avalanche's experiences."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

import cl_sparse.compat

# isort: split
from avalanche.benchmarks.scenarios import EagerCLStream
from avalanche.benchmarks.scenarios.dataset_scenario import DatasetExperience


class TaskExperience(DatasetExperience):
    """One task of a stream, with Avalanche's attributes for task labels and for the classes' timeline.

    Task labels are what the stream tells: 0 in every task, unless the scenario is task-incremental. Classes are labels
    as the learner sees them. What else says which task it is follows Avalanche's modes: ``experience.train()`` and
    ``experience.eval()`` hide ``current_experience``, ``origin_stream`` and ``benchmark``, ``experience.eval()`` the
    classes, too. Avalanche's strategies hold experiences of the third mode, in which metrics and loggers see all.

    Args:
        dataset: the task's samples.
        task: its place in the stream.
        told: its task labels.
        labels: its classes.
        earlier: the classes of the tasks before it.
        every: the classes of all tasks.
    """

    def __init__(
        self, dataset: Any, task: int, told: list[int], labels: list[int], earlier: set[int], every: set[int]
    ) -> None:
        super().__init__(dataset=dataset, current_experience=task)
        self.task_label = told[0]
        self.task_labels = told
        self.classes_in_this_experience: Iterable[int] = labels
        self.previous_classes: Iterable[int] = sorted(earlier)
        self.classes_seen_so_far: Iterable[int] = sorted(earlier.union(labels))
        self.future_classes: Iterable[int] = sorted(every.difference(earlier, labels))
        self._as_attributes("_origin_stream")
        self._as_attributes(
            "classes_in_this_experience",
            "previous_classes",
            "classes_seen_so_far",
            "future_classes",
            use_in_train=True,
        )

    @property
    def dataset(self) -> Any:
        """The task's samples; a strategy may put others in their place, which leaves the stream as it is."""
        return self._dataset

    @dataset.setter
    def dataset(self, dataset: Any) -> None:
        self._dataset = dataset

    @property
    def benchmark(self) -> Any:
        """The benchmark that the experience is from."""
        return self.origin_stream.benchmark


class ExperienceStream(EagerCLStream):
    """A stream that hands out copies of its experiences, so that a strategy's changes to one do not stay."""

    def _make_experience(self, experience_idx: int) -> Any:
        return copy(self._exps[experience_idx])

"""What all benchmarks share: an Avalanche benchmark whose data sets are views of three task streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

import cl_sparse.compat

# isort: split
from avalanche.benchmarks.scenarios import CLScenario, EagerCLStream
from avalanche.benchmarks.scenarios.dataset_scenario import DatasetExperience

from benchmarks.splits import label_table, rows_of_tasks
from cl_sparse.data.datasets import load_data
from cl_sparse.data.image_data import ImageData
from cl_sparse.data.stream import BatchTransform, TaskStream
from cl_sparse.data.subsets import validation_split
from cl_sparse.data.task_data import task_datasets
from cl_sparse.errors import SettingError, UserError

SCENARIOS = ("task", "domain", "class")


class DataOptions(TypedDict, total=False):
    """The keyword arguments that all benchmarks share.

    Attributes:
        seed: draws whatever the benchmark draws, the validation split and the subsets; 0.
        validation: share of each class's training samples kept for validation, [0, 1); 0.
        data_root: folder of the data sets; ``$CL_SPARSE_DATA``, else ``./data``.
        train_subset, test_subset: class-balanced sizes over the whole data set; None for all.
        normalize: "standard" (zero mean, unit variance) or "unit" (pixels from 0 to 1); "standard".
    """

    seed: int
    validation: float
    data_root: Path | str | None
    train_subset: int | None
    test_subset: int | None
    normalize: str


class TaskExperience(DatasetExperience):
    """One task of a stream, with Avalanche's attributes for task labels and for the classes' timeline.

    ``task_label`` is the task's index in every scenario; classes are labels as the learner sees them.
    """

    def __init__(self, dataset: Any, task: int, labels: list[int], earlier: set[int], every: set[int]) -> None:
        super().__init__(dataset=dataset, current_experience=task)
        self.task_label = task
        self.task_labels = [task]
        self.classes_in_this_experience = labels
        self.previous_classes = sorted(earlier)
        self.classes_seen_so_far = sorted(earlier.union(labels))
        self.future_classes = sorted(every.difference(self.classes_seen_so_far))


class Benchmark(CLScenario):
    """A stream of tasks: ``train_stream``, ``test_stream`` and ``val_stream`` (None without a validation share).

    Labels: in the task- and domain-incremental scenarios a sample's label is its class's place within the task
    (0 .. n_outputs-1); in the class-incremental scenario it is the original class. The task's index t comes with every
    sample in every scenario, for scoring; whether a learner may see it is the learner's business.

    Args:
        data: the data set.
        name: of the benchmark.
        scenario: "task", "domain" or "class".
        task_classes: original classes per task; the place in the list is the label within the task.
        options: as the benchmark was called with.
        transform: what a task does to the raw samples, or None.
        settings: the benchmark's own settings, for ``describe()``.

    Attributes:
        n_tasks, n_classes (of the data set), n_outputs (of one head), input_shape, task_classes, class_names, source,
        fingerprint, and tensors: {"train", "test" and, with a validation share, "val": TaskStream}.
    """

    def __init__(
        self,
        data: ImageData,
        *,
        name: str,
        scenario: str,
        task_classes: Sequence[Sequence[int]],
        options: DataOptions,
        transform: BatchTransform | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.scenario, self.seed = name, scenario, options.get("seed", 0)
        self.dataset, self.source, self.fingerprint = data.name, data.source, data.fingerprint
        self.class_names = data.class_names
        self.n_classes = len(data.class_names)
        self.task_classes = [list(classes) for classes in task_classes]
        self.n_tasks = len(self.task_classes)
        self.n_outputs = self.n_classes if scenario == "class" else len(self.task_classes[0])
        self.input_shape = tuple(data.x_train.shape[1:])
        subsets = {"train_subset": options.get("train_subset"), "test_subset": options.get("test_subset")}
        self.settings = {"normalize": options.get("normalize", "standard"), **subsets, **(settings or {})}
        self.validation = options.get("validation", 0.0)
        self.tensors = self._make_streams(data, self.validation, transform)
        super().__init__([self._avalanche_stream(split) for split in self.tensors])
        if "val" not in self.tensors:
            self.val_stream = None

    def to(self, device: torch.device | str) -> Benchmark:
        """Move all samples to a device, in place; data sets and loaders follow. Returns self."""
        for stream in self.tensors.values():
            stream.to(device)
        if "val" in self.tensors:  # rows of the training data: keep one copy on the device
            self.tensors["val"].x, self.tensors["val"].y = self.tensors["train"].x, self.tensors["train"].y
        return self

    def describe(self) -> dict[str, Any]:
        """Return what a result has to say about the benchmark, in plain Python."""
        return {
            "name": self.name,
            "dataset": self.dataset,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "scenario": self.scenario,
            "seed": self.seed,
            "n_tasks": self.n_tasks,
            "n_classes": self.n_classes,
            "n_outputs": self.n_outputs,
            "input_shape": list(self.input_shape),
            "task_classes": [list(classes) for classes in self.task_classes],
            "class_names": list(self.class_names),
            "validation": self.validation,
            "samples": {
                split: [end - start for start, end in pairwise(stream.offsets)]
                for split, stream in self.tensors.items()
            },
            **self.settings,
        }

    def _make_streams(
        self, data: ImageData, validation: float, transform: BatchTransform | None
    ) -> dict[str, TaskStream]:
        labels = label_table(self.task_classes, self.n_classes, original=self.scenario == "class")

        def stream(x: Tensor, y: Tensor, among: Tensor) -> TaskStream:
            rows = rows_of_tasks(y, self.task_classes, among)
            return TaskStream(x, y, rows, labels, transform, data.mean, data.std)

        everything = torch.arange(len(data.y_train))
        if not 0 <= validation < 1:
            raise SettingError("validation", f"{validation} must be in [0, 1)")
        train, val = everything, None
        if validation > 0:
            train, val = validation_split(data.y_train, validation, self.n_classes, self.seed)
        streams = {
            "train": stream(data.x_train, data.y_train, train),
            "test": stream(data.x_test, data.y_test, torch.arange(len(data.y_test))),
        }
        if val is not None:
            streams["val"] = stream(data.x_train, data.y_train, val)
        for split, tasks in streams.items():
            self._check_filled(split, tasks)
        return streams

    def _check_filled(self, split: str, stream: TaskStream) -> None:
        for task, (start, end) in enumerate(pairwise(stream.offsets)):
            if start == end:
                names = ", ".join(self.class_names[c] for c in self.task_classes[task][:5])
                kind = {"train": "training", "test": "test", "val": "validation"}[split]
                raise UserError(
                    f"{self.dataset}: task {task + 1} of {self.n_tasks} (classes {names}) has no {kind} samples: "
                    "add some, or leave its classes out of the data"
                )

    def _avalanche_stream(self, split: str) -> Any:
        stream = self.tensors[split]
        labels = [sorted(set(row[row >= 0].tolist())) for row in stream.label_of]
        every = {label for task in labels for label in task}
        experiences = [
            TaskExperience(dataset, task, labels[task], {label for past in labels[:task] for label in past}, every)
            for task, dataset in enumerate(task_datasets(stream))
        ]
        return EagerCLStream(split, experiences, benchmark=self)


def prepare(
    name: str, dataset: str, scenario: str, allowed: Sequence[str], n_tasks: int, options: DataOptions
) -> ImageData:
    """Check what every benchmark has to check, then load the data set as its options say.

    Raises:
        UserError: the benchmark knows no such scenario, fewer than one task, or the data set cannot be had.
        TypeError: an option that does not exist.
    """
    unknown = options.keys() - DataOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"{name} has no argument {', '.join(sorted(unknown))}")
    if scenario not in allowed:
        raise SettingError("scenario", f"{scenario!r} makes no sense for {name}; choose {' or '.join(allowed)}")
    if n_tasks < 1:
        raise SettingError("num_batch", f"{n_tasks} tasks; at least 1 is needed")
    root = options.get("data_root")
    data = load_data(
        dataset,
        Path(root) if root is not None else None,
        train_subset=options.get("train_subset"),
        test_subset=options.get("test_subset"),
        seed=options.get("seed", 0),
    )
    return normalized(data, options.get("normalize", "standard"))


def normalized(data: ImageData, how: str) -> ImageData:
    """Return the data set with the constants that its samples are normalised by.

    Args:
        data: the data set; floating-point samples are used as they are either way.
        how: "standard": zero mean and unit variance over the training data; "unit": pixels from 0 to 1.

    Raises:
        UserError: for another word.
    """
    if how not in ("standard", "unit"):
        raise SettingError("normalize", f"{how!r} is not known; choose standard or unit")
    if how == "standard" or not data.mean:
        return data
    return replace(data, mean=(0.0,) * len(data.mean), std=(data.full_scale,) * len(data.std))

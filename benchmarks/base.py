"""What all benchmarks share: an Avalanche benchmark whose data sets are views of three task streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor

import cl_sparse.compat

# isort: split
from avalanche.benchmarks.scenarios import CLScenario

from benchmarks.counterparts import unknown_arguments
from benchmarks.experience import ExperienceStream, TaskExperience
from benchmarks.splits import label_table, rows_of_tasks
from cl_sparse.data.datasets import load_data
from cl_sparse.data.image_data import ImageData
from cl_sparse.data.stream import BatchTransform, TaskStream
from cl_sparse.data.subsets import validation_split
from cl_sparse.data.task_datasets import task_datasets
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


class Benchmark(CLScenario):
    """A stream of tasks: ``train_stream``, ``test_stream`` and ``val_stream`` (None without a validation share).

    Labels: in the task- and domain-incremental scenarios a sample's label is its class's place within the task
    (0 .. n_outputs-1); in the class-incremental scenario it is the original class. The task label that comes with every
    sample is the task's index in the task-incremental scenario, and 0 in the others: a learner cannot look it up there.

    Args:
        data: the data set.
        name: of the benchmark.
        scenario: "task", "domain" or "class".
        task_classes: original classes per task; the place in the list is the label within the task.
        options: as the benchmark was called with.
        transform: what a task does to the raw samples, or None.
        settings: the benchmark's own settings, for ``describe()``.

    Attributes:
        score: what a test's score is, "accuracy", or "r2" for targets that are numbers.
        n_tasks, n_classes (of the data set), n_outputs (of one head), input_shape, task_classes, class_names, source,
        fingerprint, and tensors: {"train", "test" and, with a validation share, "val": TaskStream}.
        As Avalanche's benchmarks: n_experiences, n_classes_per_exp, classes_order (labels as the learner sees them, in
        the tasks' order), classes_order_original_ids, original_classes_in_exp, classes_in_experience, task_labels.
    """

    score: ClassVar[str] = "accuracy"

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
        subsets = {"train_subset": options.get("train_subset"), "test_subset": options.get("test_subset")}
        self.settings = {"normalize": options.get("normalize", "standard"), **subsets, **(settings or {})}
        self.validation = options.get("validation", 0.0)
        self.tensors = self._make_streams(data, self.validation, transform)
        self.input_shape = self.tensors["train"].input_shape
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

    @property
    def n_experiences(self) -> int:
        """Number of tasks."""
        return self.n_tasks

    @property
    def n_classes_per_exp(self) -> list[int]:
        """Number of classes in each task."""
        return [len(classes) for classes in self.task_classes]

    @property
    def classes_order(self) -> list[int]:
        """The labels that a learner sees, in the order of the tasks."""
        if self.scenario == "class":
            return self.classes_order_original_ids
        return [label for n in self.n_classes_per_exp for label in range(n)]

    @property
    def classes_order_original_ids(self) -> list[int]:
        """The original classes, in the order of the tasks."""
        return [original for classes in self.task_classes for original in classes]

    @property
    def original_classes_in_exp(self) -> list[set[int]]:
        """The original classes of each task."""
        return [set(classes) for classes in self.task_classes]

    @property
    def classes_in_experience(self) -> dict[str, list[set[int]]]:
        """The labels that a learner sees in each task, by the name of the stream."""
        labels = iter(self.classes_order)
        per_task = [set(islice(labels, n)) for n in self.n_classes_per_exp]
        return {split: [*per_task] for split in self.tensors}

    @property
    def task_labels(self) -> list[list[int]]:
        """The task labels of each task: its index in the task-incremental scenario, else 0."""
        return [[task if self.scenario == "task" else 0] for task in range(self.n_tasks)]

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
            return self._stream(x, y, rows, labels, transform, data.mean, data.std, tells_task=self.scenario == "task")

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

    def _stream(self, *arguments: Any, **keywords: Any) -> TaskStream:
        return TaskStream(*arguments, **keywords)

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
        labels, told = [sorted(task) for task in self.classes_in_experience[split]], self.task_labels
        every = {label for task in labels for label in task}
        experiences = [
            TaskExperience(
                dataset, task, told[task], labels[task], {label for past in labels[:task] for label in past}, every
            )
            for task, dataset in enumerate(task_datasets(self.tensors[split]))
        ]
        return ExperienceStream(split, experiences, benchmark=self)


def prepare(
    name: str, dataset: str, scenario: str, allowed: Sequence[str], n_tasks: int, options: DataOptions
) -> ImageData:
    """Check what every benchmark has to check, then load the data set as its options say.

    Raises:
        UserError: the benchmark knows no such scenario, fewer than one task, or the data set cannot be had.
        TypeError: an option that does not exist.
    """
    check_stream(name, scenario, allowed, n_tasks, options)
    root = options.get("data_root")
    data = load_data(
        dataset,
        Path(root) if root is not None else None,
        train_subset=options.get("train_subset"),
        test_subset=options.get("test_subset"),
        seed=options.get("seed", 0),
    )
    return normalized(data, options.get("normalize", "standard"))


def check_stream(
    name: str,
    scenario: str,
    allowed: Sequence[str],
    n_tasks: int,
    options: DataOptions,
    most_tasks: int | None = None,
) -> None:
    """Check what every benchmark has to check before it looks at data.

    Raises:
        UserError: the benchmark knows no such scenario, or not so many tasks.
        TypeError: an option that does not exist.
    """
    unknown = options.keys() - DataOptions.__annotations__.keys()
    if unknown:
        raise TypeError(unknown_arguments(name, unknown))
    if scenario not in allowed:
        raise SettingError("scenario", f"{scenario!r} makes no sense for {name}; choose {' or '.join(allowed)}")
    if n_tasks < 1:
        raise SettingError("num_batch", f"{n_tasks} tasks; at least 1 is needed")
    if most_tasks is not None and n_tasks > most_tasks:
        raise SettingError("num_batch", f"{n_tasks} tasks; {name} has {most_tasks}: choose {most_tasks}")


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

"""Rotated MNIST: the same digits, turned further in every task."""

from typing import Unpack

import torch

from benchmarks.base import Benchmark, DataOptions, prepare
from benchmarks.rotations import Rotations, spread_angles
from cl_sparse.errors import SettingError


class RotatedMNIST(Benchmark):
    """Ten-way digit classification under one fixed rotation per task (after Lopez-Paz and Ranzato 2017).

    A task is all training (test) images, turned counter-clockwise by task · max_angle / (n_tasks - 1) degrees: evenly
    from upright (task 0) to ``max_angle`` (the last task). Nothing is drawn at random. Labels are the ten classes in
    every task. Scenarios: "domain" (one head for all tasks, the default) and "task" (the task is known).

    The default maximum of 90° keeps 6 and 9 apart: at 180° they are each other.

    Args:
        n_tasks: number of tasks.
        dataset: any data set of square images.
        scenario: "domain" or "task".
        max_angle: the last task's angle, degrees, more than 0 and less than 360.
        options: what all benchmarks share, see ``DataOptions``.

    Raises:
        UserError: see ``cl_sparse.data.load_data``; unknown scenario, impossible angle, samples that are no squares.
    """

    def __init__(
        self,
        n_tasks: int = 10,
        *,
        dataset: str = "mnist",
        scenario: str = "domain",
        max_angle: float = 90.0,
        **options: Unpack[DataOptions],
    ) -> None:
        name = f"rotated_{dataset}"
        if not 0 < max_angle < 360:
            raise SettingError("max_angle", f"{max_angle} must be more than 0 and less than 360 degrees")
        data = prepare(name, dataset, scenario, ("domain", "task"), n_tasks, options)
        if data.x_train.ndim != 4 or data.x_train.shape[2] != data.x_train.shape[3]:
            raise SettingError(
                "dataset", f"{dataset} has samples of shape {tuple(data.x_train.shape[1:])}, not square images"
            )
        size = data.x_train.shape[3]
        self.angles = spread_angles(n_tasks, max_angle)
        super().__init__(
            data,
            name=name,
            scenario=scenario,
            task_classes=[range(len(data.class_names))] * n_tasks,
            options=options,
            transform=Rotations(torch.tensor(self.angles), (size, size)),
            settings={"max_angle": max_angle},
        )

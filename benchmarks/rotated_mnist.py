"""Rotated MNIST: the same digits, turned further in every task."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

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
        n_tasks: number of tasks. None: as many as ``angles``, or 10.
        dataset: any data set of square images.
        scenario: "domain" or "task".
        max_angle: the last task's angle, degrees, more than 0 and less than 360. None: 90.
        angles: each task's angle, degrees, in place of ``max_angle``.
        options: what all benchmarks share, see ``DataOptions``.

    Raises:
        UserError: see ``cl_sparse.data.load_data``; unknown scenario, impossible angles, samples that are no squares.
    """

    def __init__(
        self,
        n_tasks: int | None = None,
        *,
        dataset: str = "mnist",
        scenario: str = "domain",
        max_angle: float | None = None,
        angles: Sequence[float] | None = None,
        **options: Unpack[DataOptions],
    ) -> None:
        name = f"rotated_{dataset}"
        self.angles, settings = _angles(n_tasks, max_angle, angles)
        n_tasks = len(self.angles)
        data = prepare(name, dataset, scenario, ("domain", "task"), n_tasks, options)
        if data.x_train.ndim != 4 or data.x_train.shape[2] != data.x_train.shape[3]:
            raise SettingError(
                "dataset", f"{dataset} has samples of shape {tuple(data.x_train.shape[1:])}, not square images"
            )
        size = data.x_train.shape[3]
        super().__init__(
            data,
            name=name,
            scenario=scenario,
            task_classes=[range(len(data.class_names))] * n_tasks,
            options=options,
            transform=Rotations(torch.tensor(self.angles), (size, size)),
            settings=settings,
        )


def _angles(
    n_tasks: int | None, max_angle: float | None, angles: Sequence[float] | None
) -> tuple[list[float], dict[str, Any]]:
    """Return the tasks' angles, and what the benchmark says of them.

    Raises:
        SettingError: if they are impossible, or the arguments do not go together.
    """
    if angles is None:
        n_tasks, max_angle = 10 if n_tasks is None else n_tasks, 90.0 if max_angle is None else max_angle
        if not 0 < max_angle < 360:
            raise SettingError("max_angle", f"{max_angle} must be more than 0 and less than 360 degrees")
        return spread_angles(n_tasks, max_angle), {"max_angle": max_angle}
    if max_angle is not None:
        raise SettingError("angles", "they do not go with max_angle: choose one of the two")
    if n_tasks not in (None, len(angles)):
        raise SettingError("angles", f"{len(angles)} for {n_tasks} tasks: give one for each, or leave n_tasks out")
    if not all(math.isfinite(angle) for angle in angles):
        raise SettingError("angles", f"{list(angles)} are not all numbers of degrees")
    given = [float(angle) for angle in angles]
    return given, {"angles": given}

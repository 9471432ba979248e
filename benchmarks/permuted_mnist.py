"""Permuted MNIST: the same digits, the pixels in another order in every task."""

from typing import Unpack

from benchmarks.base import Benchmark, DataOptions, prepare
from benchmarks.permutations import PixelPermutations, draw_permutations


class PermutedMNIST(Benchmark):
    """Ten-way digit classification under one fixed pixel permutation per task (Goodfellow et al. 2013).

    A task is all training (test) images with their pixels in one random order, all channels alike; task 0 keeps the
    natural order. Labels are the ten classes in every task. Scenarios: "domain" (one head for all tasks, the default)
    and "task" (the task is known; a head per task if the learner likes).

    Args:
        n_tasks: number of tasks.
        dataset: any data set's name; images keep their shape, flat data are permuted feature by feature.
        scenario: "domain" or "task".
        options: what all benchmarks share, see ``DataOptions``.

    Raises:
        UserError: see ``cl_sparse.data.load_data``; unknown scenario.
    """

    def __init__(
        self,
        n_tasks: int = 10,
        *,
        dataset: str = "mnist",
        scenario: str = "domain",
        **options: Unpack[DataOptions],
    ) -> None:
        name = f"permuted_{dataset}"
        data = prepare(name, dataset, scenario, ("domain", "task"), n_tasks, options)
        n_positions = data.x_train[0, 0].numel() if data.x_train.ndim > 2 else data.x_train.shape[1]
        self.permutations = draw_permutations(n_tasks, n_positions, options.get("seed", 0))
        super().__init__(
            data,
            name=name,
            scenario=scenario,
            task_classes=[range(len(data.class_names))] * n_tasks,
            options=options,
            transform=PixelPermutations(self.permutations),
        )

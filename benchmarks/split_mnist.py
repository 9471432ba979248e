"""Split MNIST: two digits per task."""

from typing import Unpack

from benchmarks.base import DataOptions
from benchmarks.split_dataset import SplitDataset


class SplitMNIST(SplitDataset):
    """Digits 0/1, 2/3, 4/5, 6/7, 8/9 (Zenke et al. 2017). Scenarios and arguments as in ``SplitDataset``.

    In natural order the domain-incremental stream asks every task the same question: is the digit odd (label 1) or even
    (label 0)? In a random class order the two labels mean something else in every task.
    """

    def __init__(
        self,
        n_tasks: int = 5,
        scenario: str = "task",
        *,
        dataset: str = "mnist",
        class_order: str = "natural",
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(
            n_tasks,
            scenario,
            dataset=dataset,
            class_order=class_order,
            **options,
        )

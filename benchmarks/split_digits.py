"""Split digits: Split MNIST's small sibling, on scikit-learn's bundled 8×8 digits."""

from typing import Unpack

from benchmarks.base import DataOptions
from benchmarks.split_dataset import SplitDataset


class SplitDigits(SplitDataset):
    """As ``SplitMNIST``, on 1,797 real 8×8 digits that need no files."""

    def __init__(
        self,
        n_tasks: int = 5,
        scenario: str = "task",
        *,
        dataset: str = "digits",
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

"""iCIFAR100: ten classes of CIFAR-100 per task."""

from typing import Unpack

from benchmarks.base import DataOptions
from benchmarks.split_dataset import SplitDataset


class iCIFAR100(SplitDataset):
    """The 100 fine classes in groups of ten, in natural (alphabetical) order; otherwise as ``SplitDataset``."""

    def __init__(
        self,
        n_tasks: int = 10,
        scenario: str = "task",
        *,
        dataset: str = "cifar100",
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

"""iCIFAR100: ten classes of CIFAR-100 per task."""

from pathlib import Path

from benchmarks.split_dataset import SplitDataset


class iCIFAR100(SplitDataset):  # noqa: N801  (the name in the literature)
    """The 100 fine classes in groups of ten, in natural (alphabetical) order; otherwise as ``SplitDataset``."""

    def __init__(
        self,
        n_tasks: int = 10,
        scenario: str = "task",
        *,
        dataset: str = "cifar100",
        class_order: str = "natural",
        seed: int = 0,
        validation: float = 0.0,
        data_root: Path | str | None = None,
        train_subset: int | None = None,
        test_subset: int | None = None,
    ) -> None:
        super().__init__(
            n_tasks,
            scenario,
            dataset=dataset,
            class_order=class_order,
            seed=seed,
            validation=validation,
            data_root=data_root,
            train_subset=train_subset,
            test_subset=test_subset,
        )

"""Split digits: Split MNIST's small sibling, on scikit-learn's bundled 8×8 digits."""

from pathlib import Path

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

"""Split MNIST: two digits per task."""

from pathlib import Path

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

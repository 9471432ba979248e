"""iCIFAR10: two classes of CIFAR-10 per task."""

from pathlib import Path

from benchmarks.split_dataset import SplitDataset


class iCIFAR10(SplitDataset):  # noqa: N801  (the name in the literature)
    """Airplane/automobile, bird/cat, deer/dog, frog/horse, ship/truck in natural order. Scenarios and arguments as in
    ``SplitDataset``; samples are 3×32×32. The official archive is used when it is there, else an image folder
    ``<data root>/cifar10/{train,test}/<class>/``; the result records which.
    """

    def __init__(
        self,
        n_tasks: int = 5,
        scenario: str = "task",
        *,
        dataset: str = "cifar10",
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

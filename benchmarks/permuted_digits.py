"""Permuted digits: Permuted MNIST's small sibling, on scikit-learn's bundled 8×8 digits."""

from pathlib import Path

from benchmarks.permuted_mnist import PermutedMNIST


class PermutedDigits(PermutedMNIST):
    """As ``PermutedMNIST``, on real 8×8 digits that need no files: 1,347 training and 450 test samples per task."""

    def __init__(
        self,
        n_tasks: int = 10,
        *,
        dataset: str = "digits",
        seed: int = 0,
        scenario: str = "domain",
        validation: float = 0.0,
        data_root: Path | str | None = None,
        train_subset: int | None = None,
        test_subset: int | None = None,
    ) -> None:
        super().__init__(
            n_tasks,
            dataset=dataset,
            seed=seed,
            scenario=scenario,
            validation=validation,
            data_root=data_root,
            train_subset=train_subset,
            test_subset=test_subset,
        )

"""Permuted digits: Permuted MNIST's small sibling, on scikit-learn's bundled 8×8 digits."""

from typing import Unpack

from benchmarks.base import DataOptions
from benchmarks.permuted_mnist import PermutedMNIST


class PermutedDigits(PermutedMNIST):
    """As ``PermutedMNIST``, on real 8×8 digits that need no files: 1,347 training and 450 test samples per task."""

    def __init__(
        self,
        n_tasks: int = 10,
        *,
        dataset: str = "digits",
        scenario: str = "domain",
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(
            n_tasks,
            dataset=dataset,
            scenario=scenario,
            **options,
        )

"""Split MNIST: two digits per task."""

from benchmarks.split_dataset import SplitDataset


class SplitMNIST(SplitDataset):
    """Digits 0/1, 2/3, 4/5, 6/7, 8/9 (Zenke et al. 2017). Scenarios and arguments as in ``SplitDataset``.

    In natural order the domain-incremental stream asks every task the same question: is the digit odd (label 1) or even
    (label 0)? In a random class order the two labels mean something else in every task.
    """

    usual_dataset = "mnist"

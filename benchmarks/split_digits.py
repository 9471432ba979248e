"""Split digits: Split MNIST's small sibling, on scikit-learn's bundled 8×8 digits."""

from benchmarks.split_dataset import SplitDataset


class SplitDigits(SplitDataset):
    """As ``SplitMNIST``, on 1,797 real 8×8 digits that need no files."""

    usual_dataset = "digits"

"""iCIFAR100: ten classes of CIFAR-100 per task."""

from benchmarks.split_dataset import SplitDataset


class iCIFAR100(SplitDataset):
    """The 100 fine classes in groups of ten, in natural (alphabetical) order; otherwise as ``SplitDataset``."""

    usual_dataset = "cifar100"
    usual_tasks = 10

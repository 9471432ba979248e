"""iCIFAR10: two classes of CIFAR-10 per task."""

from benchmarks.split_dataset import SplitDataset


class iCIFAR10(SplitDataset):
    """Airplane/automobile, bird/cat, deer/dog, frog/horse, ship/truck in natural order. Scenarios and arguments as in
    ``SplitDataset``; samples are 3×32×32. The official archive is used when it is there, else an image folder
    ``<data root>/cifar10/{train,test}/<class>/``; the result records which.
    """

    usual_dataset = "cifar10"

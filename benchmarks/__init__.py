"""Benchmarks: one file each, how a data set becomes a stream of tasks."""

from benchmarks.base import Benchmark
from benchmarks.experience import TaskExperience
from benchmarks.icifar10 import iCIFAR10
from benchmarks.icifar100 import iCIFAR100
from benchmarks.permuted_digits import PermutedDigits
from benchmarks.permuted_mnist import PermutedMNIST
from benchmarks.rotated_mnist import RotatedMNIST
from benchmarks.split_dataset import SplitDataset
from benchmarks.split_digits import SplitDigits
from benchmarks.split_mnist import SplitMNIST

__all__ = [
    "Benchmark",
    "PermutedDigits",
    "PermutedMNIST",
    "RotatedMNIST",
    "SplitDataset",
    "SplitDigits",
    "SplitMNIST",
    "TaskExperience",
    "iCIFAR10",
    "iCIFAR100",
]

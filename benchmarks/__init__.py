"""Benchmarks: one file each, how a data set becomes a stream of tasks."""

from benchmarks.airfoil import Airfoil
from benchmarks.base import Benchmark
from benchmarks.drifting_add10 import DriftingAdd10
from benchmarks.experience import TaskExperience
from benchmarks.icifar10 import iCIFAR10
from benchmarks.icifar100 import iCIFAR100
from benchmarks.permuted_digits import PermutedDigits
from benchmarks.permuted_mnist import PermutedMNIST
from benchmarks.regression import RegressionBenchmark
from benchmarks.rotated_mnist import RotatedMNIST
from benchmarks.split_dataset import SplitDataset
from benchmarks.split_digits import SplitDigits
from benchmarks.split_mnist import SplitMNIST

__all__ = [
    "Airfoil",
    "Benchmark",
    "DriftingAdd10",
    "PermutedDigits",
    "PermutedMNIST",
    "RegressionBenchmark",
    "RotatedMNIST",
    "SplitDataset",
    "SplitDigits",
    "SplitMNIST",
    "TaskExperience",
    "iCIFAR10",
    "iCIFAR100",
]

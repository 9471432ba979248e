"""Checks on the real files, in the data root that CL_SPARSE_DATA names."""

import os
import time
from pathlib import Path

import pytest
import torch

from benchmarks import PermutedMNIST, RotatedMNIST, SplitMNIST, iCIFAR10

ROOT = os.environ.get("CL_SPARSE_DATA", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ROOT, reason="CL_SPARSE_DATA names no data root")]
needs_cifar10 = pytest.mark.skipif(not (Path(ROOT) / "cifar10").is_dir(), reason="no cifar10 image folder")


def test_split_mnist() -> None:
    benchmark = SplitMNIST()
    assert benchmark.describe()["samples"] == {
        "train": [12665, 12089, 11263, 12183, 11800],
        "test": [2115, 2042, 1874, 1986, 1983],
    }
    x, _, _ = benchmark.tensors["train"].batch(torch.arange(60000))
    assert x.mean().item() == pytest.approx(0, abs=1e-3)
    assert x.std().item() == pytest.approx(1, abs=1e-3)


def test_a_hundred_permuted_tasks_are_built_in_seconds() -> None:
    PermutedMNIST(1)
    start = time.perf_counter()
    benchmark = PermutedMNIST(100)
    assert time.perf_counter() - start < 5
    assert len(benchmark.tensors["train"]) == 6_000_000
    assert len(benchmark.train_stream[99].dataset) == 60_000


def test_rotated_mnist_ends_at_ninety_degrees() -> None:
    stream = RotatedMNIST(10).tensors["test"]
    upright, turned = (stream.batch(stream.task_ids(t)[:50])[0] for t in (0, 9))
    torch.testing.assert_close(turned, torch.rot90(upright, 1, dims=(2, 3)), atol=1e-3, rtol=0)


@needs_cifar10
def test_icifar10_from_the_image_folder() -> None:
    benchmark = iCIFAR10()
    assert benchmark.class_names[0] == "airplane"
    assert benchmark.describe()["samples"] == {"train": [10000] * 5, "test": [2000] * 5}
    x, _, _ = benchmark.tensors["train"].batch(torch.arange(0, 50000, 10))
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), atol=0.05, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3)), torch.ones(3), atol=0.05, rtol=0)

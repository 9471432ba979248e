"""Mean and spread over the runs of one experiment."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class MeanStd(NamedTuple):
    """A mean and the sample standard deviation beside it."""

    mean: float
    std: float


def mean_std(values: Iterable[float]) -> MeanStd:
    """Mean and sample standard deviation (n − 1 in the denominator) of one value per seed.

    The deviation of a single value is NaN: one run says nothing about the spread. Both are NaN when a value is NaN, or
    when there is none: a mean over the seeds that happened to succeed would flatter.
    """
    array = np.fromiter(values, dtype=np.float64)
    if not array.size:
        return MeanStd(float("nan"), float("nan"))
    return MeanStd(float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else float("nan"))

"""Add10: a function of ten inputs, of which five count, and noise. For regression."""

import math

import torch
from torch import Tensor


def load_add10(samples: int, seed: int = 0, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return inputs (samples, 10), uniform in 0..1, and targets (samples,) of Friedman's first function (1991).

    y = 10·sin(π·x₁·x₂) + 20·(x₃ − ½)² + 10·x₄ + 5·x₅ + noise·N(0, 1), by scikit-learn. Its variance is about 24 without
    noise, so that with noise 1 no model's mean squared error can be below 1.

    Args:
        samples: how many.
        seed: of inputs and noise.
        noise: standard deviation.

    Raises:
        ValueError: there is no sample, or the noise is below 0.
    """
    if samples < 1 or not noise >= 0:
        raise ValueError(f"samples must be at least 1 and noise at least 0, not {samples} and {noise}")
    from sklearn.datasets import make_friedman1  # a second of import time, paid by this data set only

    x, y = make_friedman1(samples, n_features=10, noise=noise, random_state=seed)
    return torch.from_numpy(x).float(), torch.from_numpy(y).float()


def add10_signal(x: Tensor) -> Tensor:
    """Return the targets of inputs (n, 10) without noise, (n,): 10·sin(π·x₁·x₂) + 20·(x₃ − ½)² + 10·x₄ + 5·x₅."""
    return 10 * torch.sin(math.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]

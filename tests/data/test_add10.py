"""Add10 is Friedman's function, its noise as told."""

import pytest
import torch

from cl_sparse.data.add10 import load_add10


def test_it_is_the_function() -> None:
    x, y = load_add10(2000, seed=1, noise=0.0)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((2000, 10), torch.float32, (2000,), torch.float32)
    slow = 10 * torch.sin(torch.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    torch.testing.assert_close(y, slow, rtol=1e-4, atol=1e-4)
    assert 22 < float(y.var()) < 26
    noisy_x, noisy = load_add10(2000, seed=1)
    torch.testing.assert_close(noisy_x, x)
    assert float((noisy - y).std()) == pytest.approx(1, abs=0.05)
    assert torch.equal(load_add10(50, seed=3)[1], load_add10(50, seed=3)[1])
    assert not torch.equal(load_add10(50, seed=3)[1], load_add10(50, seed=4)[1])


def test_what_cannot_be_is_one_line() -> None:
    for arguments in ((0, 0, 1.0), (10, 0, -1.0)):
        with pytest.raises(ValueError, match="samples must be at least 1 and noise at least 0"):
            load_add10(*arguments)

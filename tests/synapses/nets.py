"""Small nets of every storage, optimizers of every kind, and a training step."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cl_sparse.layers import (
    ActiveLinear,
    CompactKWinners,
    KWinners,
    KWinners2d,
    SparseLinear,
    SparseWeights,
    SparseWeights2d,
    WinnerLinear,
    rezero_weights,
)
from cl_sparse.synapses import LazySGD, Ledger

N_IN, HIDDEN, N_OUT = 12, 20, 5

NETS: dict[str, Callable[[], nn.Sequential]] = {
    "dense": lambda: nn.Sequential(nn.Linear(N_IN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, N_OUT)),
    "masked": lambda: nn.Sequential(
        SparseWeights(nn.Linear(N_IN, HIDDEN), sparsity=0.6),
        nn.BatchNorm1d(HIDDEN),
        KWinners(HIDDEN, 0.2),
        SparseWeights(nn.Linear(HIDDEN, N_OUT), sparsity=0.5),
    ),
    "live": lambda: nn.Sequential(
        SparseLinear(N_IN, HIDDEN, density=0.4), nn.ReLU(), SparseLinear(HIDDEN, N_OUT, density=0.5, inputs="winners")
    ),
    "winner": lambda: nn.Sequential(
        WinnerLinear(N_IN, HIDDEN), CompactKWinners(HIDDEN, 0.2), ActiveLinear(HIDDEN, N_OUT)
    ),
    "conv": lambda: nn.Sequential(
        nn.Unflatten(1, (3, 2, 2)),
        SparseWeights2d(nn.Conv2d(3, 6, 2, padding=1), sparsity=0.5),
        KWinners2d(6, 0.5, local=True),
        nn.Conv2d(6, 4, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 4, N_OUT),
    ),
}
OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda net: torch.optim.SGD(net.parameters(), lr=0.05),
    "nesterov": lambda net: torch.optim.SGD(
        net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3, fused=True
    ),
    "adam": lambda net: torch.optim.Adam(net.parameters(), lr=0.01, fused=True),
    "adamw": lambda net: torch.optim.AdamW(net.parameters(), lr=0.01, amsgrad=True),
    "adamax": lambda net: torch.optim.Adamax(net.parameters(), lr=0.01),
    "lazy": lambda net: LazySGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
}


def batch(seed: int, size: int = 16) -> tuple[Tensor, Tensor]:
    """Return random samples and labels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, N_IN, generator=generator), torch.randint(N_OUT, (size,), generator=generator)


def train_step(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int, ledger: Ledger | None = None) -> None:
    """Take one step on a random batch, as a training loop does."""
    x, y = batch(seed)
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y) + (ledger.penalty() if ledger is not None else 0.0)
    loss.backward()
    optimizer.step()
    rezero_weights(net)

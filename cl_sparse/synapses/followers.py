"""What an optimizer keeps for a parameter follows when the parameter's synapses move."""

import torch
from torch import Tensor, nn

from cl_sparse.synapses.lazy_sgd import LazySGD
from cl_sparse.wiring.moved import Moved


def settle(optimizer: torch.optim.Optimizer | None) -> None:
    """Bring all weights and momenta up to date before anything moves."""
    if isinstance(optimizer, LazySGD):
        optimizer.release()


def carry_optimizer(
    optimizer: torch.optim.Optimizer | None, parameter: nn.Parameter, shape: torch.Size, moved: Moved
) -> None:
    """Let the optimizer's numbers follow: kept synapses keep theirs, new ones start from 0, scalars stay.

    Args:
        optimizer: any (SGD, Adam, AdamW, LazySGD, …), or None.
        parameter: the weight, after the change.
        shape: its shape before.
        moved: what became of its synapses.
    """
    if optimizer is None:
        return
    state = optimizer.state.get(parameter, {})
    for name, numbers in state.items():
        if isinstance(numbers, Tensor) and numbers.dim() and numbers.shape == shape:
            state[name] = moved.carry(numbers)


def resume_optimizer(optimizer: torch.optim.Optimizer | None) -> None:
    """Let an optimizer that puts off idle updates do so again."""
    if isinstance(optimizer, LazySGD):
        optimizer.claim()

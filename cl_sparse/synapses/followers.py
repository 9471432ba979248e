"""What an optimizer keeps for a parameter follows when the parameter's synapses move."""

import torch
from torch import Tensor, nn

from cl_sparse.synapses.lazy_sgd import LazySGD
from cl_sparse.wiring.moved import Moved


def settle(optimizer: torch.optim.Optimizer | None) -> None:
    """Bring all weights and momenta up to date before anything moves."""
    if isinstance(optimizer, LazySGD):
        optimizer.release()


def check_followed(optimizer: torch.optim.Optimizer | None) -> None:
    """Refuse an optimizer whose numbers cannot follow.

    Raises:
        ValueError: it keeps something that is neither a number per synapse, which starts from 0, nor one for all.
    """
    if optimizer is None:
        return
    strange = isinstance(optimizer, torch.optim.LBFGS | torch.optim.Rprop)  # a curvature; step sizes that start above 0
    for parameter, state in optimizer.state.items():
        kept = [number for number in state.values() if isinstance(number, Tensor) and number.dim()]
        strange = strange or any(number.shape != parameter.shape for number in kept)
    if strange:
        raise ValueError(
            f"what {type(optimizer).__name__} keeps cannot follow synapses that move: train with SGD, Adam, AdamW or "
            "LazySGD"
        )


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

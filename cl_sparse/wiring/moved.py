"""What became of numbers per synapse when synapses were dropped, grown, or units were removed and added."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Fresh = Tensor | float
"""What new synapses start with: one number for all, or a tensor of one number each."""


class Moved(Protocol):
    """A change of places that any number per synapse can follow."""

    def carry(self, numbers: Tensor, fresh: Fresh = 0.0) -> Tensor:
        """Return numbers in the shape of the weight before as numbers in the shape of the weight after.

        Args:
            numbers: in the shape of the weight before the change, such as momenta or importances.
            fresh: what new synapses get.
        """
        ...


@dataclass(frozen=True)
class Swapped:
    """Places of a weight that keeps its shape were given up and taken. Both kinds lose their number.

    Attributes:
        dropped: unit and input of each synapse that went, long (d,) each.
        grown: unit and input of each synapse that came, long (g,) each.
    """

    dropped: tuple[Tensor, Tensor]
    grown: tuple[Tensor, Tensor]

    def carry(self, numbers: Tensor, fresh: Fresh = 0.0) -> Tensor:
        """See :class:`Moved`; ``fresh`` is one number or (g,), in the order of ``grown``."""
        carried = numbers.clone()
        dropped, grown = (index_of(*places, carried.shape) for places in (self.dropped, self.grown))
        carried[dropped] = 0.0 if isinstance(fresh, Tensor) else fresh
        carried[grown] = fresh.to(carried) if isinstance(fresh, Tensor) else fresh
        return carried


@dataclass(frozen=True)
class Resized:
    """Some slices of a tensor along one axis were kept, others added behind them.

    Attributes:
        axis: 0 for units (rows, channels), 1 for inputs.
        kept: long (m,), positions along the axis before.
        added: number of new slices.
    """

    axis: int
    kept: Tensor
    added: int

    def carry(self, numbers: Tensor, fresh: Fresh = 0.0) -> Tensor:
        """See :class:`Moved`; ``fresh`` is one number or a tensor of the shape of the added slices."""
        shape = list(numbers.shape)
        shape[self.axis] = self.added
        new = fresh.to(numbers).reshape(shape) if isinstance(fresh, Tensor) else numbers.new_full(shape, fresh)
        return like_layout(
            torch.cat([numbers.index_select(self.axis, self.kept.to(numbers.device)), new], self.axis), numbers
        )


def index_of(units: Tensor, inputs: Tensor, shape: torch.Size) -> tuple[Tensor, ...]:
    """Return units and inputs (places in a flattened kernel) as an index into a weight of ``shape``, however it lies
    in memory: ``flatten`` would copy one that lies channels last, and what is written there would be lost.
    """
    return (units, inputs) if len(shape) == 2 else (units, *torch.unravel_index(inputs, shape[1:]))


def like_layout(tensor: Tensor, model: Tensor) -> Tensor:
    """Return a matrix in the memory layout of ``model``: inputs first in memory, if that one is; else contiguous."""
    if model.dim() == 2 and model.stride(0) == 1 and model.stride(1) == model.shape[0] and model.shape[1] > 1:
        return tensor.t().contiguous().t()
    return tensor.contiguous()


def replace_data(parameter: nn.Parameter, data: Tensor) -> None:
    """Give a parameter new values of any shape; it stays the same object, and its gradient is forgotten.

    A graph of before that is still alive (Avalanche keeps the last output) holds the node that accumulates the
    parameter's gradient, which expects the old shape. A passing change of type makes torch drop it.
    """
    parameter.grad = None
    if data.shape != parameter.shape:
        other = torch.float32 if parameter.dtype != torch.float32 else torch.float64
        parameter.data = data.new_empty(0, dtype=other)
    parameter.data = data
    # The values and places that such a graph is about are gone: a backward pass through it is to fail.
    torch.autograd.graph.increment_version(parameter)

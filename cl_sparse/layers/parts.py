"""A net of which each task has a part, chosen by the task's label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cl_sparse.layers.consumers import Consumers
from cl_sparse.layers.routing import route
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_weights import SparseWeightsBase


@dataclass(frozen=True)
class Counts:
    """How much there is of a net.

    Attributes:
        live: synapses.
        positions: places where a synapse could be.
        parameters: numbers that were trained: live synapses, biases, normalisation.
    """

    live: int
    positions: int
    parameters: int


class PartsOfNet(nn.Module, ABC):
    """A net that computes for each task with parameters of its own, made from the net's.

    Who inherits says which in :meth:`part`. What a method learns for each task is kept here, so that it is saved, moved
    and trained with the net.

    Args:
        net: called with a batch (B, ...) and task labels (B,), or with a batch alone; it says in ``consumers()`` who
            reads the units of its hidden layers.
        n_tasks: tasks that there will be.

    Attributes:
        hidden: by the layer's name in the net, the linear layers and convolutions whose units other layers read, in
            order.
        of_units: whether a part is some of the hidden units, without which there is none.

    Raises:
        ValueError: the net does not say who reads its units, or parts are of hidden units and it has none.
    """

    needs_task_labels = True
    of_units = False
    net: Any

    def __init__(self, net: nn.Module, n_tasks: int) -> None:
        super().__init__()
        self.net, self.n_tasks = net, n_tasks
        if not hasattr(net, "consumers"):
            raise ValueError("the net has to say in consumers() who reads the units of its layers")
        if self.of_units and not self.net.consumers():
            raise ValueError("a task's part is some of the hidden units, and the net has no hidden layer")

    @property
    def n_outputs(self) -> int:
        """Number of logits per sample."""
        return int(self.net.n_outputs)

    @property
    def hidden(self) -> dict[str, nn.Module]:
        """The hidden layers by name; of a masked one the layer inside."""
        found = {name: self.net.get_submodule(name) for name in self.net.consumers()}
        return {
            f"{name}.module" if isinstance(layer, SparseWeightsBase) else name: getattr(layer, "module", layer)
            for name, layer in found.items()
        }

    @property
    def readers(self) -> list[str]:
        """Names of the layers that read the last hidden layer's units: the heads."""
        return [f"net.{name}" for name in list(self.net.consumers().values())[-1].readers]

    @abstractmethod
    def part(self, task: int) -> dict[str, Tensor]:
        """Return what stands for the net's parameters in a task, by their names in the net; the others are as they
        are."""

    def counts(self) -> Counts | None:
        """Return what there is for all tasks together; None: it is what the layers and parameters are."""
        return None

    def consumers(self) -> dict[str, Consumers]:
        """Return, for each layer, who consumes its units, by name."""
        of_net: dict[str, Consumers] = self.net.consumers()
        return {f"net.{layer}": own.within("net") for layer, own in of_net.items()}

    def forward(self, x: Tensor, task_labels: Tensor | None = None) -> Tensor:
        """Return the logits of each sample of ``x`` (B, ...) from the part of its task, ``task_labels`` (B,).

        Raises:
            ValueError: no task labels, or one without a part.
        """
        return route([partial(self._compute, task) for task in range(self.n_tasks)], x, task_labels)

    def _compute(self, task: int, x: Tensor) -> Tensor:
        told = getattr(self.net, "needs_task_labels", False)
        arguments = (x, torch.full((len(x),), task, device=x.device)) if told else (x,)
        logits: Tensor = functional_call(self.net, self.part(task), arguments)
        return logits


def places_per_unit(layer: nn.Module, below: nn.Module) -> int:
    """Return how many inputs of a layer each unit of the layer below is: several behind a convolution's Flatten."""
    return layer.get_parameter("weight").shape[1] // below.get_parameter("weight").shape[0]


def refuse_live(net: nn.Module) -> None:
    """Raise if a layer stores its live synapses only, of which no part can be taken."""
    for name, module in net.named_modules():
        if isinstance(module, SparseLinear):
            raise ValueError(f"{name} stores its live synapses only: choose weights: masked")

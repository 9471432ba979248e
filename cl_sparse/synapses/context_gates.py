"""Context-dependent gating: each task has a random part of the units."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers import KWinnersBase
from cl_sparse.layers.parts import PartsOfNet
from cl_sparse.synapses.mechanism import Mechanism, Needs

_SHUT = -1e9  # a pre-activation that neither ReLU lets through nor a winner has


class GatedNet(PartsOfNet):
    """A net in which all but some hidden units are shut in each task: ReLU leaves them 0, k-winners never choose them.

    Args:
        net: of linear layers or convolutions with biases.
        n_tasks: tasks that there will be.
        open_share: share of each layer's units that are open in a task, drawn from torch's random numbers.

    Raises:
        ValueError: a layer has no bias, or fewer open units than winners.
    """

    of_units = True

    def __init__(self, net: nn.Module, n_tasks: int, open_share: float) -> None:
        super().__init__(net, n_tasks)
        self._buffer_of: dict[str, str] = {}
        widest = 0.0
        for module in net.modules():
            if isinstance(module, KWinnersBase):
                widest = max(widest, max(module.k, module.k_inference) / module.n)
        for number, (name, layer) in enumerate(self.hidden.items()):
            if getattr(layer, "bias", None) is None:
                raise ValueError(f"{name} has no bias to shut units by")
            units = len(layer.get_parameter("bias"))
            n_open = max(1, round(open_share * units))
            if n_open / units < widest:
                raise ValueError(f"{name}: {n_open} of {units} units are open in a task, and more may win")
            gates = torch.stack([torch.randperm(units) < n_open for _ in range(n_tasks)])
            self._buffer_of[f"{name}.bias"] = f"open_{number}"
            self.register_buffer(f"open_{number}", gates)

    def part(self, task: int) -> dict[str, Tensor]:
        """Return the biases, those of shut units far below zero."""
        biases = dict(self.net.named_parameters())
        return {
            name: biases[name].masked_fill(~self.get_buffer(gates)[task], _SHUT)
            for name, gates in self._buffer_of.items()
        }


class ContextGates(Mechanism):
    """Context-dependent gating, XdG (Masse, Grant and Freedman 2018).

    In each task a random share of every hidden layer's units is shut, the same whenever the task comes again; its label
    is told in training and at test. A shut unit gets no gradient (momentum and weight decay go on), and tasks overlap
    only as far as their units do by chance. The authors add synaptic intelligence.

    Args:
        shut: share of units that are shut, 0 to below 1; the authors: .8.

    Raises:
        ValueError: it is out of range.
    """

    needs = Needs.ALL
    task_info = ("label", "label")
    follows_units = False

    def __init__(
        self, shut: Annotated[float, Field(ge=0, lt=1, description="Share of units that a task does without.")] = 0.8
    ) -> None:
        if not 0 <= shut < 1:
            raise ValueError(f"shut must be from 0 to below 1, not {shut}")
        self.shut = shut

    def wrap(self, net: nn.Module, n_tasks: int) -> GatedNet:
        """Return the net with gates, drawn from torch's random numbers."""
        return GatedNet(net, n_tasks, 1 - self.shut)

"""The synapses of a model, whatever kind of layer stores them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from cl_sparse.layers import SparseWeightsBase
from cl_sparse.layers.active_linear import ActiveLinear
from cl_sparse.layers.parts import Counts, PartsOfNet
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.wiring.moved import index_of

Stored = Literal["dense", "masked", "live", "winner"]
"""How a layer stores its synapses: all places (dense); all places, some held at zero (masked); the live ones alone
(live); all places, inputs first, of which an optimizer may leave idle rows behind (winner)."""


@dataclass(frozen=True)
class Synapses:
    """The synapses into the units of one layer.

    A *number per synapse* is a tensor in the shape of :attr:`parameter`; where no synapse lives, it means nothing.

    Attributes:
        layer: name of the layer in the model.
        name: name of its weight among the model's ``named_parameters``.
        module: the layer.
        parameter: the weight, (units, inputs, ...); of a layer that stores live synapses only, their values (nnz,).
        stored: how.
        shape: (units, inputs, ...), whatever is stored.
    """

    layer: str
    name: str
    module: nn.Module
    parameter: nn.Parameter
    stored: Stored
    shape: torch.Size

    @property
    def positions(self) -> int:
        """Number of places where a synapse could be, stored or not."""
        return self.shape.numel()

    @property
    def live(self) -> Tensor | None:
        """Bool mask in the shape of the parameter, True where a synapse lives (even at 0); None if all do."""
        return self.module.live_mask() if isinstance(self.module, SparseWeightsBase) else None

    @property
    def bias(self) -> str | None:
        """Name of the units' bias among the model's ``named_parameters``; None if they have none."""
        bias = getattr(self.module, "bias", None)
        inside = "module.bias" if isinstance(self.module, SparseWeightsBase) else "bias"
        return None if bias is None else _inside(self.layer, inside)

    @property
    def inside(self) -> str:
        """Name of the layer that computes with them: of a masked one the layer within, else its own."""
        return self.name.rpartition(".")[0]

    @property
    def n_live(self) -> int:
        """Number of live synapses."""
        live = self.live
        return self.parameter.numel() if live is None else int(live.sum())

    def places(self) -> tuple[Tensor, Tensor]:
        """Return unit and input of each live synapse, long (n_live,) each.

        An input of a convolution is a place in its flattened kernels, 0 to C_in/groups·kh·kw − 1. The order is that of
        the parameter's values for a layer that stores its live synapses, else by unit and then by input.
        """
        if isinstance(self.module, SparseLinear):
            units, inputs = self.module.indices
            return units, inputs
        live = self.live
        if live is None:
            live = torch.ones_like(self.parameter, dtype=torch.bool)
        units, inputs = live.flatten(1).nonzero(as_tuple=True)
        return units, inputs

    def of_live(self, numbers: Tensor) -> Tensor:
        """Return numbers (in the parameter's shape) of the live synapses only, (n_live,), ordered as :meth:`places`."""
        return numbers if self.stored == "live" else numbers[index_of(*self.places(), self.shape)]

    def set_live(self, numbers: Tensor, values: Tensor) -> None:
        """Write ``values`` (n_live,), ordered as :meth:`places`, into numbers in the parameter's shape, in place."""
        if self.stored == "live":
            numbers.copy_(values)
        else:
            numbers[index_of(*self.places(), self.shape)] = values

    def current(self, at: tuple[Tensor, ...] | None = None) -> Tensor:
        """Return the weights, up to date, without gradient.

        Args:
            at: which, as ``Touched.at`` or :meth:`places` say it: unit and input, long (e,) each, or (unit,) for whole
                units; None for all. Of a winner layer only these inputs' rows are brought up to date.

        Returns:
            those at ``at``, (e,), or (e, inputs, ...) of whole units; for None all, in the shape of the parameter.
        """
        if isinstance(self.module, ActiveLinear):
            self.module.current_weight(at[1] if at is not None and len(at) == 2 else None)
        values = self.parameter.detach()
        if at is None or len(at) == 1 or self.stored == "live":
            return values if at is None else values[at]
        return values[index_of(at[0], at[1], self.shape)]


def synapses_of(model: nn.Module) -> Iterator[Synapses]:
    """Yield the synapses of every linear and convolutional layer of ``model``, each weight once, in module order.

    Weights that an optimizer left behind are brought up to date, as by asking the layer for its weight.

    Raises:
        ValueError: a layer's weight is no parameter (pruning, weight norm).
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    for layer, module in model.named_modules():
        found = _synapses_of(layer, module)
        if found is not None and found.parameter in names:  # whoever shares the weight may come first by its name
            yield replace(found, name=names.pop(found.parameter))


def live_synapses(model: nn.Module) -> int:
    """Return the number of live synapses (weights, not biases) of ``model``."""
    counts = _counts(model)
    return counts.live if counts else sum(found.n_live for found in synapses_of(model))


def density(model: nn.Module) -> dict[str, float]:
    """Return, for each layer of ``model``, the share of its weight positions that live."""
    return {found.layer: found.n_live / found.positions for found in synapses_of(model)}


def synapse_positions(model: nn.Module) -> int:
    """Return the number of places of ``model`` where a synapse could be."""
    counts = _counts(model)
    return counts.positions if counts else sum(found.positions for found in synapses_of(model))


def total_parameters(model: nn.Module) -> int:
    """Return the number of stored parameters of ``model``: all weights that are stored, live or not, and biases."""
    counts = _counts(model)
    return counts.parameters if counts else sum(parameter.numel() for parameter in model.parameters())


def _counts(model: nn.Module) -> Counts | None:
    found = [parts.counts() for parts in model.modules() if isinstance(parts, PartsOfNet)]
    return found[0] if found else None


def _synapses_of(layer: str, module: nn.Module) -> Synapses | None:
    if isinstance(module, SparseWeightsBase):
        weight = module.get_parameter("module.weight")
        return Synapses(layer, _inside(layer, "module.weight"), module, weight, "masked", weight.shape)
    if isinstance(module, SparseLinear):
        shape = torch.Size((module.out_features, module.in_features))
        return Synapses(layer, _inside(layer, "values"), module, module.values, "live", shape)
    if isinstance(module, ActiveLinear):
        weight = module.current_weight()
        return Synapses(layer, _inside(layer, "weight"), module, weight, "winner", weight.shape)
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        if "weight" not in module._parameters:
            raise ValueError(
                f"{layer or 'the net'}: its weight is computed from other parameters (pruning, weight norm): make "
                "it permanent (torch's prune.remove, remove_parametrizations) first"
            )
        weight = module.get_parameter("weight")
        return Synapses(layer, _inside(layer, "weight"), module, weight, "dense", weight.shape)
    return None


def _inside(layer: str, name: str) -> str:
    return f"{layer}.{name}" if layer else name

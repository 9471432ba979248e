"""The synapses of a model, whatever kind of layer holds them."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from cl_sparse.layers import SparseWeightsBase
from cl_sparse.layers.sparse_linear import SparseLinear


@dataclass(frozen=True)
class Connections:
    """The connections into the units of one layer.

    Attributes:
        layer: name of the layer in the model.
        name: name of its weight among the model's ``named_parameters``.
        parameter: the weight, (units, ...); of a layer that stores its live synapses only, their weights (nnz,).
        live: bool mask in the shape of the weight, True where a connection exists (even if its weight happens to be 0);
            None if all that are stored do.
        positions: number of places where a connection could be, stored or not.
    """

    layer: str
    name: str
    parameter: nn.Parameter
    live: Tensor | None
    positions: int

    @property
    def n_live(self) -> int:
        """Number of live synapses."""
        return self.parameter.numel() if self.live is None else int(self.live.sum())


def connections(model: nn.Module) -> Iterator[Connections]:
    """Yield the connections of every linear and convolutional layer of ``model``, each weight once, in module order.

    For a :class:`SparseLinear` the parameter is its values; which unit and input each belongs to is in its ``indices``.
    """
    seen: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, SparseWeightsBase):
            found = _connections_of(name, "module.weight", module, module.live_mask())
        elif isinstance(module, SparseLinear):
            found = _connections_of(name, "values", module, None, module.in_features * module.out_features)
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            found = _connections_of(name, "weight", module, None)
        else:
            continue
        if id(found.parameter) not in seen:
            seen.add(id(found.parameter))
            yield found


def live_synapses(model: nn.Module) -> int:
    """Return the number of live synapses (weights, not biases) of ``model``."""
    return sum(found.n_live for found in connections(model))


def density(model: nn.Module) -> dict[str, float]:
    """Return, for each layer of ``model``, the share of its weight positions that live."""
    return {found.layer: found.n_live / found.positions for found in connections(model)}


def total_parameters(model: nn.Module) -> int:
    """Return the number of stored parameters of ``model``: all weights that are stored, live or not, and biases."""
    return sum(parameter.numel() for parameter in model.parameters())


def _connections_of(
    layer: str, weight: str, module: nn.Module, live: Tensor | None, positions: int | None = None
) -> Connections:
    parameter = module.get_parameter(weight)
    name = f"{layer}.{weight}" if layer else weight
    return Connections(layer, name, parameter, live, parameter.numel() if positions is None else positions)

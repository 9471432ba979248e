"""Removing and adding units of a layer, with everything that is counted by unit. The ledger lets owners follow."""

import math

import torch
from torch import Tensor, nn

from cl_sparse.layers import KWinnersBase, SparseWeightsBase
from cl_sparse.layers.consumers import BATCH_NORM, Consumers, per_unit
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_resize import resize_live
from cl_sparse.wiring.moved import Moved, Resized, replace_data

Changes = dict[str, tuple[torch.Size, Moved]]
"""By name of each parameter or buffer that changed: its shape before, and how numbers of that shape follow. By name of
a layer that was resized: its number of units before, and how numbers per unit follow."""


class Resizing:
    """One change of the units of one layer.

    Args:
        model: the net.
        layer: name of the layer.
        consumers: who consumes its units.
        keep: long (m,), the units that stay, in their new order.
        add: number of new units behind them. They start as torch's layers do, uniform in ±1/√(live inputs), and what
            reads them starts at 0.
        generator: draws the new weights and places.

    Raises:
        ValueError: a consumer does not fit; nothing has changed then.
    """

    def __init__(
        self, model: nn.Module, layer: str, consumers: Consumers, keep: Tensor, add: int, generator: torch.Generator
    ) -> None:
        self.model, self.layer, self.consumers = model, layer, consumers
        self.keep, self.add, self.generator = keep, add, generator
        self.changes: Changes = {}
        self.units = weight_shape(model.get_submodule(layer))[0]
        for name in consumers.per_unit:
            self._check_per_unit(name)
        linear = (
            len(weight_shape(model.get_submodule(layer))) == 2
        )  # of a convolution, Flatten puts a channel's together
        for name in consumers.readers:
            if weight_shape(model.get_submodule(name))[1] % self.units:
                raise ValueError(f"{name} reads {layer}, but the number of its inputs is no multiple of its units")
            if weight_shape(model.get_submodule(name))[1] != self.units and linear:
                raise ValueError(f"{name} reads several numbers of each unit of {layer}: how they lie is not known")

    def _check_per_unit(self, name: str) -> None:
        module = self.model.get_submodule(name)
        held = per_unit(module)
        if held is None:
            raise ValueError(f"{name}: its per_unit has to say what a {type(module).__name__} holds for each unit")
        for own in held:
            shape = tensor_of(module, own).shape
            if shape[unit_axis(module)] != self.units:
                raise ValueError(f"{name}.{own} is {tuple(shape)}, which is not one for each unit of {self.layer}")

    @torch.no_grad()
    def carry_out(self) -> Changes:
        """Change the layer, what follows it by unit, and its readers' inputs; return what changed."""
        units = self.units
        self.changes[self.layer] = torch.Size((units,)), Resized(0, self.keep, self.add)
        self._weight(self.layer, Resized(0, self.keep, self.add))
        for name in self.consumers.per_unit:
            self._per_unit(name)
        for name in self.consumers.readers:
            block = weight_shape(self.model.get_submodule(name))[1] // units
            inputs = (self.keep[:, None] * block + torch.arange(block)).flatten()
            self._weight(name, Resized(1, inputs, self.add * block))
        return self.changes

    def _weight(self, layer: str, change: Resized) -> None:
        module = self.model.get_submodule(layer)
        before, live = weight_shape(module), mean_live_inputs(module)
        shape = torch.Size((*before[: change.axis], change.added, *before[change.axis + 1 :]))
        # Readers connect to new units as densely as to old ones.
        fan_in = live if change.axis == 0 else round(live / before[1:].numel() * shape[1:].numel())
        new = self._new_weights(shape, change.axis, fan_in)
        if isinstance(module, SparseLinear):
            self._live(layer, module, change, new)
        else:
            self._stored(layer, module, change, new)
        if change.axis == 0 and module.bias is not None:
            bias = torch.empty(change.added).uniform_(-1, 1, generator=self.generator) / math.sqrt(max(1, fan_in))
            self._tensor(self._inside(layer, module, "bias"), change, bias)

    def _new_weights(self, shape: torch.Size, axis: int, fan_in: int) -> Tensor:
        """Return the added slice of the weight, on the CPU; NaN where no synapse is to live."""
        new = torch.full((shape[0], shape[1:].numel()), math.nan)
        if new.numel():
            live = torch.rand(new.shape, generator=self.generator).topk(min(fan_in, new.shape[1]), dim=1).indices
            drawn = torch.empty(live.shape).uniform_(-1, 1, generator=self.generator) / math.sqrt(max(1, fan_in))
            new.scatter_(1, live, drawn if axis == 0 else torch.zeros_like(drawn))
        return new.reshape(shape)

    def _live(self, layer: str, module: SparseLinear, change: Resized, new: Tensor) -> None:
        shape = module.values.shape
        ends = [*(~new.isnan()).nonzero(as_tuple=True)]
        values = new[ends[0], ends[1]]
        ends[change.axis] = ends[change.axis] + len(change.kept)
        moved = resize_live(module, change, (ends[0], ends[1]), values)
        self.changes[self._named(layer, "values")] = shape, moved

    def _stored(self, layer: str, module: nn.Module, change: Resized, new: Tensor) -> None:
        self._tensor(self._inside(layer, module, "weight"), change, new.nan_to_num())
        if isinstance(module, SparseWeightsBase):
            self._tensor(self._named(layer, "zero_mask"), change, new.isnan())
        bare = module.module if isinstance(module, SparseWeightsBase) else module
        names = ("out_features", "in_features") if isinstance(bare, nn.Linear) else ("out_channels", "in_channels")
        setattr(bare, names[change.axis], len(change.kept) + change.added)

    def _per_unit(self, layer: str) -> None:
        module = self.model.get_submodule(layer)
        n = len(self.keep) + self.add
        for name, fresh in (per_unit(module) or {}).items():
            self._tensor(self._named(layer, name), Resized(unit_axis(module), self.keep, self.add), fresh)
        if isinstance(module, KWinnersBase):
            module.resize(n)
        elif isinstance(module, BATCH_NORM):
            module.num_features = n

    def _tensor(self, name: str, change: Resized, fresh: Tensor | float) -> None:
        owner, _, own = name.rpartition(".")
        module = self.model.get_submodule(owner)
        tensor = tensor_of(module, own)
        self.changes[name] = tensor.shape, change
        carried = change.carry(tensor.detach(), fresh)
        if isinstance(tensor, nn.Parameter):
            replace_data(tensor, carried)
        else:
            setattr(module, own, carried)

    def _inside(self, layer: str, module: nn.Module, name: str) -> str:
        return self._named(layer, f"module.{name}" if isinstance(module, SparseWeightsBase) else name)

    def _named(self, layer: str, name: str) -> str:
        return f"{layer}.{name}" if layer else name


def tensor_of(module: nn.Module, name: str) -> Tensor:
    """Return a parameter, as it is stored, or a buffer."""
    tensor = module._parameters[name] if name in module._parameters else module.get_buffer(name)
    assert tensor is not None
    return tensor


def unit_axis(module: nn.Module) -> int:
    """Return along which axis the units lie in what a module holds for each: (1, C, 1, 1) of k-winner channels."""
    return int(isinstance(module, KWinnersBase) and module.duty_cycle.dim() > 1)


def weight_shape(module: nn.Module) -> torch.Size:
    """Return the logical shape of a layer's weight, (units, inputs, ...)."""
    if isinstance(module, SparseLinear):
        return torch.Size((module.out_features, module.in_features))
    weight = (module.module if isinstance(module, SparseWeightsBase) else module)._parameters["weight"]
    assert isinstance(weight, Tensor)
    return weight.shape


def mean_live_inputs(module: nn.Module) -> int:
    """Return how many live inputs a unit of the layer has, on average, rounded."""
    if isinstance(module, SparseLinear):
        return round(module.values.numel() / max(1, module.out_features))
    if isinstance(module, SparseWeightsBase):
        return round(float(module.live_mask().flatten(1).sum(1).double().mean()))
    return weight_shape(module)[1:].numel()

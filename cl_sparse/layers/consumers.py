"""Who is affected when a layer loses or gains units."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from torch import nn

from cl_sparse.layers.k_winners import KWinnersBase
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_weights import SparseWeightsBase

WEIGHT_LAYERS = (nn.Linear, nn.Conv2d, SparseLinear, SparseWeightsBase)
"""Layers with units that read other units."""

ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign),
    *(nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Hardshrink, nn.Softshrink),
    *(nn.Tanhshrink, nn.Threshold),
)
"""Modules that apply a function to each number by itself."""

DROPOUT_AND_POOLING = (
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d),
)
"""Modules that, at test, pass a unit that is 0 everywhere on as it is."""

UNIT_BY_UNIT = (*ACTIVATIONS, *DROPOUT_AND_POOLING)
"""Modules that pass each unit on by itself, and hold nothing for it."""

BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_FRESH = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}


@dataclass(frozen=True)
class Consumers:
    """Who is affected when a layer loses or gains units.

    Attributes:
        per_unit: names of the modules that hold something for each unit; :func:`per_unit` knows what.
        readers: names of the layers whose inputs the units are. Behind ``Flatten`` a unit, a channel, is several.
        between: names of all modules that pass the units on from the layer to its readers, in order.
    """

    per_unit: tuple[str, ...]
    readers: tuple[str, ...]
    between: tuple[str, ...] = ()

    def within(self, module: str) -> "Consumers":
        """Return the same, seen from outside the module of that name."""
        parts = (self.per_unit, self.readers, self.between)
        return Consumers(*(tuple(f"{module}.{name}" for name in names) for names in parts))


def per_unit(module: nn.Module) -> dict[str, float] | None:
    """Return, by name of each tensor in which a module holds something for each unit, what a new unit has there.

    K-winners and batch normalisation are known. Any other module says so by an attribute ``per_unit``, a dict like
    this one; the units are along the first axis of its tensors. None for a module that holds nothing.
    """
    if isinstance(module, KWinnersBase):
        return {"duty_cycle": 0.0}
    if isinstance(module, BATCH_NORM):
        return {name: fresh for name, fresh in _FRESH.items() if getattr(module, name) is not None}
    return getattr(module, "per_unit", None)


def consumers_in(model: nn.Module) -> dict[str, Consumers]:
    """Return, by name of each layer whose readers are known, who consumes its units.

    A model says so in ``consumers()``; one that does not has to be a chain.
    """
    own = getattr(model, "consumers", None)
    if own is not None:
        found: dict[str, Consumers] = own()
        return found
    return consumers_of(model._modules.items()) if is_chain(model) else {}


def consumers_of(steps: Iterable[tuple[str, nn.Module]], readers: Sequence[str] = ()) -> dict[str, Consumers]:
    """Return, for each weight layer of a chain of modules, who consumes its units.

    A layer is left out where that is not known: behind it comes a module that is neither a weight layer (without
    groups), nor passes units on one by one, nor says what it holds for each; or its units are maps and its reader is
    linear, without a Flatten in between; or it, or its reader, or a weight of theirs, is there twice.

    Args:
        steps: name and module, each applied to the output of the one before; an ``nn.Sequential`` is its modules.
        readers: names of the linear layers that read the chain's output.

    Returns:
        by name of the layer. Without ``readers`` the last weight layer's units are the chain's output: it is left out.
    """
    chain = list(_modules_of(steps))
    times: dict[int, int] = {}
    for _, module in chain:
        for one in (module, *module.parameters()):  # a weight may be shared between modules
            times[id(one)] = times.get(id(one), 0) + 1
    found: dict[str, Consumers] = {}
    layer: str | None = None
    held: list[str] = []
    between: list[str] = []
    maps = False  # whether a unit is a map, as those of a convolution before Flatten
    for name, module in chain:
        once = all(times[id(one)] == 1 for one in (module, *module.parameters()))
        if once and _is_weight_layer(module):
            if layer is not None and maps == _is_convolution(module):
                found[layer] = Consumers(tuple(held), (name,), tuple(between))
            layer, held, between, maps = name, [], [], _is_convolution(module)
            continue
        between.append(name)
        if once and per_unit(module) is not None:
            held.append(name)
        elif not _passes_units_on(module):
            layer = None
        maps = maps and not isinstance(module, nn.Flatten)
    if layer is not None and readers and not maps:
        found[layer] = Consumers(tuple(held), tuple(readers), tuple(between))
    return found


def is_chain(module: nn.Module) -> TypeGuard[nn.Sequential]:
    """Whether a module applies its children one after the other, and does nothing else."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _modules_of(steps: Iterable[tuple[str, nn.Module]]) -> Iterator[tuple[str, nn.Module]]:
    for name, module in steps:
        if is_chain(module):
            yield from _modules_of((f"{name}.{own}", child) for own, child in module._modules.items() if child)
        else:
            yield name, module


def _is_convolution(module: nn.Module) -> bool:
    return isinstance(module.module if isinstance(module, SparseWeightsBase) else module, nn.Conv2d)


def _is_weight_layer(module: nn.Module) -> bool:
    bare = module.module if isinstance(module, SparseWeightsBase) else module
    return isinstance(module, WEIGHT_LAYERS) and getattr(bare, "groups", 1) == 1


def _passes_units_on(module: nn.Module) -> bool:
    return isinstance(module, UNIT_BY_UNIT) or (
        isinstance(module, nn.Flatten) and module.start_dim == 1 and module.end_dim in (-1, 3)
    )

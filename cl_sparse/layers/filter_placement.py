"""Putting filters into a net, and folding them into its weights."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from cl_sparse.layers.active_linear import ActiveLinear
from cl_sparse.layers.consumers import BATCH_NORM, WEIGHT_LAYERS, Consumers, consumers_in
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_weights import SparseWeightsBase
from cl_sparse.layers.sparse_winners import SparseWinnerLinear
from cl_sparse.layers.unit_filter import UnitFilter

MakeFilter = Callable[[int, float], UnitFilter]
"""From a number of units and what each costs to a filter."""


def insert_filters(model: nn.Module, make: MakeFilter) -> None:
    """Put a filter behind each hidden layer, in place: behind its batch normalisation, if it has one.

    Args:
        model: a chain, or one that says in ``consumers()`` who reads the units of its hidden layers; these stand in
            ``nn.Sequential``.
        make: called with the layer's units and the cost of each: the area of a convolution's kernel, else 1.

    Raises:
        ValueError: there is no hidden layer; or one has a filter, does not stand in an ``nn.Sequential``, or computes
            only what wins. The model is as it was then.
    """
    consumers = consumers_in(model)
    if not consumers:
        raise ValueError("there is no hidden layer of which it is known who reads its units")
    for name in consumers:
        _check_place(model, name, consumers[name])
    for name in consumers:
        parent, _, own = name.rpartition(".")
        layer = model.get_submodule(name)
        like = next(layer.parameters())
        unit_filter = make(*_units_and_area(layer)).to(like.device, like.dtype).train(layer.training)
        _insert(model.get_submodule(parent), own, unit_filter)


def filters_of(model: nn.Module) -> dict[str, tuple[str, UnitFilter]]:
    """Return, for each hidden layer that has one, its filter's name and its filter."""
    found: dict[str, tuple[str, UnitFilter]] = {}
    for layer, own in consumers_in(model).items():
        for name in own.between:
            module = model.get_submodule(name)
            if isinstance(module, UnitFilter):
                found[layer] = name, module
    return found


@torch.no_grad()
def fold_filters(model: nn.Module) -> None:
    """Multiply each filter into the weights and biases before it, and leave ``nn.Identity`` in its place.

    s·(W·x + b) = (s·W)·x + s·b; behind batch normalisation into its scale and shift. The outputs are those of before,
    up to rounding. To be done after training: an optimizer's numbers do not follow.

    Raises:
        ValueError: a filter does not stand right behind a weight layer or a batch normalisation that has a scale.
    """
    pairs = list(_pairs(model))
    placed = {id(following) for _, _, _, following in pairs}
    for name, module in model.named_modules():
        if isinstance(module, UnitFilter) and id(module) not in placed:
            raise ValueError(f"{name} does not stand right behind a weight layer: it cannot be folded into one")
    for parent, own, before, unit_filter in pairs:
        assert isinstance(unit_filter, UnitFilter)
        _multiply(before, unit_filter.factors())
        parent._modules[own] = nn.Identity()


def _pairs(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module, nn.Module]]:
    """Yield parent, name, the module before it, and a filter that stands where it can be folded."""
    for parent in model.modules():
        if isinstance(parent, nn.Sequential):
            children = list(parent.named_children())
            for (_, before), (own, after) in pairwise(children):
                if isinstance(after, UnitFilter) and _has_scale(before):
                    yield parent, own, before, after


def _has_scale(module: nn.Module) -> bool:
    return isinstance(module, WEIGHT_LAYERS) or (isinstance(module, BATCH_NORM) and module.affine)


def _multiply(module: nn.Module, factors: Tensor) -> None:
    if isinstance(module, SparseLinear):
        units, _ = module.indices
        module.values.mul_(factors[units])
    else:
        weight = _bare(module).get_parameter("weight")
        weight.mul_(factors.view(-1, *[1] * (weight.dim() - 1)))
    bias = module.bias
    if isinstance(bias, Tensor):
        bias.mul_(factors)


def _bare(layer: nn.Module) -> nn.Module:
    return layer.module if isinstance(layer, SparseWeightsBase) else layer


def _check_place(model: nn.Module, name: str, own: Consumers) -> None:
    parent, layer = model.get_submodule(name.rpartition(".")[0]), model.get_submodule(name)
    if any(isinstance(model.get_submodule(one), UnitFilter) for one in own.between):
        raise ValueError(f"{name} has a filter already: one is enough")
    if not isinstance(parent, nn.Sequential):
        raise ValueError(f"{name} does not stand in an nn.Sequential: put a filter behind it yourself")
    if isinstance(layer, ActiveLinear | SparseWinnerLinear):
        raise ValueError(
            f"{name} computes only what wins, before which there is nothing to filter: choose weights: masked and "
            "compute: reference"
        )


def _units_and_area(layer: nn.Module) -> tuple[int, float]:
    if isinstance(layer, SparseLinear):
        return layer.out_features, 1.0
    weight = _bare(layer).get_parameter("weight")
    return len(weight), float(weight.shape[2:].numel())


def _insert(parent: nn.Module, layer: str, unit_filter: UnitFilter) -> None:
    children = list(parent._modules.items())
    at = [name for name, _ in children].index(layer) + 1
    if at < len(children) and isinstance(children[at][1], BATCH_NORM):
        at += 1
    children.insert(at, (f"{layer}_filter", unit_filter))
    parent._modules = OrderedDict(children)

"""How much worse a net gets without a unit."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.layers import SparseWeightsBase
from cl_sparse.layers.consumers import Consumers, consumers_in
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.passes import first, logits_of, loss_of_classes
from cl_sparse.synapses.resize import weight_shape

Loss = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def ablation_importance(
    model: nn.Module, batches: Iterable[tuple[Tensor, ...]], samples: int | None = None, loss: Loss = loss_of_classes
) -> dict[str, Tensor]:
    """Return, by hidden layer, how much the mean loss rises when a unit is held at 0 (Morcos et al. 2018), (units,).

    Below 0: the net would do better without the unit. The net is looked at and left as it is. For each unit and batch
    the net is computed once more from the unit's readers on.

    Args:
        model: says in ``consumers()`` who reads the units of its layers, or is a chain.
        batches: ``(x, y, task labels)``.
        samples: the first ones, to average over; None: all.
        loss: mean over a batch's samples, of logits and y; cross-entropy, unless another one is given.

    Raises:
        ValueError: cross-entropy is to be taken of targets that are numbers.
    """
    consumers = consumers_in(model)
    sums = {layer: torch.zeros(weight_shape(model.get_submodule(layer))[0]) for layer in consumers}
    seen = 0
    with observing(model):
        for batch in first(batches, samples):
            with _recorded(model, consumers) as calls:
                whole = float(loss(logits_of(model, batch), batch[1]))
            for layer, own in consumers.items():
                if any(reader in calls for reader in own.readers):  # not those of another task's net
                    for unit, hidden in _each_hidden(model, calls, layer, own, len(sums[layer])):
                        with hidden:
                            without = float(loss(logits_of(model, batch), batch[1]))
                        sums[layer][unit] += (without - whole) * len(batch[0])
            seen += len(batch[0])
    return {layer: total / max(1, seen) for layer, total in sums.items()}


@dataclass(frozen=True)
class _Call:
    """One call of a module: when, its input and its output."""

    order: int
    x: Any
    y: Any


@contextmanager
def _recorded(model: nn.Module, consumers: Mapping[str, Consumers]) -> Iterator[dict[str, list[_Call]]]:
    """Note, by name, the calls of hidden layers and their readers."""
    names = dict.fromkeys(name for layer, own in consumers.items() for name in (layer, *own.readers))
    calls: dict[str, list[_Call]] = {}

    def note(name: str) -> Callable[..., None]:
        def noted(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            order = sum(len(known) for known in calls.values())
            calls.setdefault(name, []).append(_Call(order, inputs[0], output))

        return noted

    hooks = [model.get_submodule(name).register_forward_hook(note(name)) for name in names]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _each_hidden(
    model: nn.Module, calls: Mapping[str, list[_Call]], layer: str, own: Consumers, units: int
) -> Iterator[tuple[int, Any]]:
    """Yield each unit that is not 0 anyway, and a context in which its readers do not see it."""
    readers = {name: calls[name][0] for name in own.readers if name in calls}
    once = all(len(calls[name]) == 1 for name in (layer, *readers))
    before = {name: known[0].y for name, known in calls.items() if len(known) == 1 and _is_before(known, calls[layer])}
    for unit in range(units):
        shares = {name: _share_of(model.get_submodule(name), call.x, unit, units) for name, call in readers.items()}
        if not once or any(share is None for share in shares.values()):
            yield unit, _held_at_zero(model, own, units, unit)
        elif any(bool(share.any()) for share in shares.values() if share is not None):
            outputs = {name: readers[name].y - share for name, share in shares.items()}
            yield unit, _giving(model, {**before, **outputs})


def _is_before(calls: list[_Call], layer: list[_Call]) -> bool:
    return calls[0].order <= layer[0].order


def _share_of(reader: nn.Module, x: Any, unit: int, units: int) -> Tensor | None:
    """Return what a unit adds to a reader's output; None where that is not a simple product."""
    bare = reader.module if isinstance(reader, SparseWeightsBase) else reader
    if type(bare) not in (nn.Linear, nn.Conv2d) or not isinstance(x, Tensor):
        return None
    block = x.shape[1] // units  # behind Flatten a channel is several inputs
    part = slice(unit * block, (unit + 1) * block)
    weight = bare.get_parameter("weight")[:, part]
    if isinstance(bare, nn.Conv2d):
        through: Tensor = bare._conv_forward(x[:, part], weight, None)
        return through
    return x[:, part] @ weight.T


@contextmanager
def _giving(model: nn.Module, outputs: Mapping[str, Any]) -> Iterator[None]:
    """Let modules give these outputs, by name, whatever they are given."""
    modules = [model.get_submodule(name) for name in outputs]
    own = [module.__dict__.get("forward") for module in modules]
    for module, output in zip(modules, outputs.values(), strict=True):
        module.__dict__["forward"] = lambda *_, given=output: given
    try:
        yield
    finally:
        for module, forward in zip(modules, own, strict=True):
            del module.__dict__["forward"]
            if forward is not None:
                module.__dict__["forward"] = forward


@contextmanager
def _held_at_zero(model: nn.Module, consumers: Consumers, units: int, unit: int) -> Iterator[None]:
    """Let a layer's readers see 0 in place of one of its units."""

    def hide(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x = inputs[0] if isinstance(inputs[0], Tensor) else inputs[0].dense()
        block = x.shape[1] // units
        hidden = x.clone()
        hidden[:, unit * block : (unit + 1) * block] = 0
        return (hidden, *inputs[1:])

    hooks = [model.get_submodule(name).register_forward_pre_hook(hide) for name in consumers.readers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

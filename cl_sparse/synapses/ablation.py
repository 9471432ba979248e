"""How much worse a net gets without a unit."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cl_sparse.layers.consumers import Consumers, consumers_in
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.passes import first, logits_of
from cl_sparse.synapses.resize import weight_shape

Loss = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def ablation_importance(
    model: nn.Module, batches: Iterable[tuple[Tensor, ...]], samples: int | None = None, loss: Loss = cross_entropy
) -> dict[str, Tensor]:
    """Return, by hidden layer, how much the mean loss rises when a unit is held at 0 (Morcos et al. 2018), (units,).

    Below 0: the net would do better without the unit. The net is looked at and left as it is. One forward pass per unit
    and batch.

    Args:
        model: says in ``consumers()`` who reads the units of its layers, or is a chain.
        batches: ``(x, y, task labels)``.
        samples: the first ones, to average over; None: all.
        loss: mean over a batch's samples, of logits and y.
    """
    consumers = consumers_in(model)
    units = {layer: weight_shape(model.get_submodule(layer))[0] for layer in consumers}
    sums = {layer: torch.zeros(n) for layer, n in units.items()}
    seen = 0
    with observing(model):
        for batch in first(batches, samples):
            whole = float(loss(logits_of(model, batch), batch[1]))
            for layer, own in consumers.items():
                for unit in range(units[layer]):
                    with held_at_zero(model, own, units[layer], unit):
                        without = float(loss(logits_of(model, batch), batch[1]))
                    sums[layer][unit] += (without - whole) * len(batch[0])
            seen += len(batch[0])
    return {layer: total / max(1, seen) for layer, total in sums.items()}


@contextmanager
def held_at_zero(model: nn.Module, consumers: Consumers, units: int, unit: int) -> Iterator[None]:
    """Let a layer's readers see 0 in place of one of its units.

    Args:
        model: the net.
        consumers: of the layer.
        units: it has.
        unit: which.
    """

    def hide(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x = inputs[0] if isinstance(inputs[0], Tensor) else inputs[0].dense()
        block = x.shape[1] // units  # behind Flatten a channel is several inputs
        hidden = x.clone()
        hidden[:, unit * block : (unit + 1) * block] = 0
        return (hidden, *inputs[1:])

    hooks = [model.get_submodule(name).register_forward_pre_hook(hide) for name in consumers.readers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

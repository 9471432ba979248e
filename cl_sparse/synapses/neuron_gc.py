"""Neuron garbage collection: units that a filter has switched off are removed from the net for real."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers import KWinnersBase
from cl_sparse.layers.consumers import ACTIVATIONS, BATCH_NORM, DROPOUT_AND_POOLING, Consumers, consumers_in
from cl_sparse.layers.filter_placement import filters_of
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.resize import weight_shape


class NeuronGC(Mechanism):
    """Remove dead units: rows, biases, filters, normalisation, duty cycles, the columns of what reads them.

    What the optimizer and other mechanisms keep for them goes too (GC of Leclerc 2017, section 17). Dead is a unit
    whose filter is exactly 0 and that hands 0 on to its readers, so that the outputs at test are those of before. Two
    exceptions: a layer keeps one unit; and with k-winners the number of winners follows the width.

    Args:
        every: "epoch": before each epoch but a task's first, and after each task; "task": only after each task.

    Raises:
        ValueError: ``every`` is neither.
    """

    needs = Needs.BOUNDARIES
    resizes = True

    def __init__(
        self,
        every: Annotated[
            Literal["epoch", "task"], Field(description="When to collect: between epochs too, or after tasks only.")
        ] = "epoch",
    ) -> None:
        if every not in ("epoch", "task"):
            raise ValueError(f"every must be epoch or task, not {every}")
        self.every = every

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with nothing removed.

        Raises:
            ValueError: the net has no filters.
        """
        if not filters_of(ledger.model):
            raise ValueError("no layer has a filter, so no unit dies: name a mechanism that puts them in, too")
        self.ledger = ledger

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Remove what died in the epoch before."""
        if epoch and self.every == "epoch":
            self.collect()

    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Remove what died."""
        self.collect()

    def collect(self) -> dict[str, int]:
        """Remove all dead units now; return how many, by layer."""
        return {layer: remove_units(self.ledger, layer, dead) for layer, dead in dead_units(self.ledger).items()}


def remove_units(ledger: Ledger, layer: str, remove: Tensor) -> int:
    """Remove units of a layer, but for the first if no other is left.

    Args:
        ledger: owns the net.
        layer: name of the layer.
        remove: bool (units,).

    Returns:
        how many were removed.
    """
    keep = (~remove).nonzero().flatten()
    if not len(keep):
        keep = torch.zeros(1, dtype=torch.long)
    if len(keep) < len(remove):
        ledger.resize(layer, keep)
    return len(remove) - len(keep)


def live_units(model: nn.Module) -> dict[str, int]:
    """Return, by hidden layer of which it is known who reads it, the units whose filter is not 0; without one, all."""
    filters = filters_of(model)
    return {
        layer: int((~filters[layer][1].dead()).sum())
        if layer in filters
        else weight_shape(model.get_submodule(layer))[0]
        for layer in consumers_in(model)
    }


def dead_units(ledger: Ledger) -> dict[str, Tensor]:
    """Return, by hidden layer with a filter, which units hand 0 on to their readers whatever comes in, bool (units,).

    A unit whose filter is 0 does not, if what stands between makes something else of 0: Sigmoid, or a batch
    normalisation behind the filter.
    """
    consumers = ledger.consumers()
    return {
        layer: own.dead().cpu() & _hands_on_nothing(ledger.model, consumers[layer], name, own.n)
        for layer, (name, own) in filters_of(ledger.model).items()
    }


@torch.no_grad()
def _hands_on_nothing(model: nn.Module, consumers: Consumers, unit_filter: str, n: int) -> Tensor:
    """Return which units are 0 at test when they reach their readers, given that they leave the filter as 0."""
    behind = consumers.between[consumers.between.index(unit_filter) + 1 :]
    value = next(model.get_submodule(unit_filter).parameters()).new_zeros(n)
    with observing(model):
        for name in behind:
            value = _passed_on(model.get_submodule(name), value)
    return (value == 0).cpu()


def _passed_on(module: nn.Module, value: Tensor) -> Tensor:
    """Return what a module makes of units that are ``value`` (n,) everywhere; NaN where that is not known."""
    if isinstance(module, ACTIVATIONS):
        activated: Tensor = module(value)
        return activated
    if isinstance(module, BATCH_NORM) and module.running_mean is None:  # of a batch that is the same throughout
        return value * 0 + (0 if module.bias is None else module.bias)  # what is not known stays NaN
    if isinstance(module, BATCH_NORM):
        normalized: Tensor = module(value.view(1, -1, *[1, 1] * isinstance(module, nn.BatchNorm2d)))
        return normalized.flatten()
    keeps_nothing = isinstance(module, (*DROPOUT_AND_POOLING, nn.Flatten, KWinnersBase))
    return torch.where(value == 0, 0.0, torch.nan) if keeps_nothing else torch.full_like(value, torch.nan)

"""What mechanisms share that give each unit a filter and let a cost on the filters decide how many units there are."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers import UnitFilter, insert_filters
from cl_sparse.layers.filter_placement import filters_of
from cl_sparse.synapses.ablation import ablation_importance
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.update_scale import scale_updates

Protect = Literal["none", "alive", "important"]
"""Whose filters are exempt from the cost, and frozen, once a task has ended: nobody's; those of all units that live; of
those that the task needs."""


Decay = Annotated[float, Field(ge=1, description="What λ is divided by after each epoch of a task.")]
Threshold = Annotated[float, Field(ge=0, description="important: the loss rises by more than this without the unit.")]
Samples = Annotated[int, Field(ge=1, description="Samples of a task on which importance is measured.")]


class FilteredUnits(Mechanism, ABC):
    """Put a filter behind each hidden layer, and add λ·Σ (cost of the filters) to the loss.

    Without data of earlier tasks the cost kills what they need. So filters can be protected when a task ends.

    Args:
        strength: λ, at least 0.
        decay: what λ is divided by after each epoch of a task, at least 1.
        filter_lr: learning rate of the filters; None: that of the weights. They never decay.
        protect: whose filters are exempt and frozen from the end of a task on.
        threshold: "important" is a unit without which the loss on the task's data rises by more than this.
        samples: the first ones of the task, on which that is measured.

    Attributes:
        filters: by hidden layer, its filter's name and its filter.

    Raises:
        ValueError: an argument is out of range.
    """

    filters: dict[str, tuple[str, UnitFilter]]
    needs = Needs.BOUNDARIES
    dense_forward = True
    one_net = True

    def __init__(
        self,
        strength: float,
        decay: float = 1.0,
        filter_lr: float | None = None,
        protect: Protect = "none",
        threshold: float = 1e-3,
        samples: int = 1000,
    ) -> None:
        positive = filter_lr is None or 0 < filter_lr < math.inf
        if not 0 <= strength < math.inf or not 1 <= decay < math.inf or not positive:
            raise ValueError(
                f"strength must be at least 0, decay at least 1 and filter_lr above 0, not {strength}, {decay} and "
                f"{filter_lr}"
            )
        if protect not in ("none", "alive", "important") or samples < 1:
            raise ValueError(
                f"protect must be none, alive or important and samples at least 1, not {protect} and {samples}"
            )
        if not threshold >= 0:
            raise ValueError(f"threshold must be at least 0, not {threshold}")
        self.strength, self.decay, self.filter_lr = strength, decay, filter_lr
        self.protect, self.threshold, self.samples = protect, threshold, samples
        self.strength_now = strength
        self.task_info = ("none" if protect == "none" else "boundaries", "none")

    @abstractmethod
    def make(self, n: int, cost: float) -> UnitFilter:
        """Return a filter for n units."""

    def wrap(self, net: nn.Module, n_tasks: int) -> nn.Module:
        """Put the filters into the net, and return it.

        Raises:
            ValueError: a hidden layer cannot have one.
        """
        insert_filters(net, self.make)
        return net

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Give the filters a group of their own in the optimizer; start with none protected.

        Raises:
            ValueError: the ledger's net has no filters, or its optimizer does not train them.
        """
        self.ledger, self.filters = ledger, filters_of(ledger.model)
        if not self.filters:
            raise ValueError("give the optimizer and the ledger the net that wrap(net, n_tasks) returns")
        if ledger.optimizer is not None:
            parameters = [parameter for _, own in self.filters.values() for parameter in own.parameters()]
            give_own_group(ledger.optimizer, parameters, self.filter_lr)
        if self.protect != "none":
            self.protected = ledger.keep(self.name, "protected")
            self.updates = scale_updates(ledger, {}, owner=self.name)

    def before_task(self, task: int) -> None:
        """Start with the full cost again."""
        self.strength_now = self.strength

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Let the cost decay."""
        self.strength_now = self.strength * float(self.decay) ** -epoch  # 0 at last: decay^epoch would overflow

    def penalty(self) -> Tensor | float:
        """Return λ times what the units that are not protected cost."""
        if not self.strength_now:
            return 0.0
        costs = [own.penalty(self.exempt(layer)) for layer, (_, own) in self.filters.items()]
        return self.strength_now * torch.stack(costs).sum()

    def exempt(self, layer: str) -> Tensor | None:
        """Return which units of a layer cost nothing, bool (n,); None: all cost something."""
        return None if self.protect == "none" else self.protected[parameter_of(*self.filters[layer])] > 0

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Protect what the task needs."""
        if self.protect == "none":
            return
        needed = self._needed(batches)
        for layer, (name, own) in self.filters.items():
            parameter = parameter_of(name, own)
            self.protected[parameter][needed[layer]] = 1.0
            self.updates.set({parameter: 1 - self.protected[parameter]})

    def _needed(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, Tensor]:
        alive = {layer: ~own.dead() for layer, (_, own) in self.filters.items()}
        if self.protect == "alive":
            return alive
        importance = ablation_importance(self.ledger.model, batches, self.samples)
        return {layer: own & (importance[layer] > self.threshold).to(own.device) for layer, own in alive.items()}


def parameter_of(name: str, own: UnitFilter) -> str:
    """Return the name in the net of the parameter that a filter has for its units."""
    (parameter,) = (key for key, _ in own.named_parameters())
    return f"{name}.{parameter}"


def give_own_group(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], lr: float | None) -> None:
    """Move parameters of an optimizer to a group of their own, in which nothing decays.

    Args:
        optimizer: trains them already.
        parameters: some of its.
        lr: their learning rate; None: as before.

    Raises:
        ValueError: it does not train one of them.
    """
    moved = {id(parameter) for parameter in parameters}
    groups = [g for g in optimizer.param_groups if any(id(p) in moved for p in g["params"])]
    if sum(id(p) in moved for g in groups for p in g["params"]) < len(moved):
        raise ValueError("give the optimizer the net that wrap(net, n_tasks) returns: it does not train the filters")
    settings = {key: value for key, value in groups[0].items() if key != "params"}
    for group in groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in moved]
    optimizer.add_param_group(
        {**settings, "params": parameters, "lr": settings["lr"] if lr is None else lr, "weight_decay": 0.0}
    )

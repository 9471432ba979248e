"""PackNet: each task keeps the largest of the free weights, for good, and leaves the rest to those that follow."""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers.parts import PartsOfNet, refuse_live
from cl_sparse.synapses.leaving import is_left, left_alone
from cl_sparse.synapses.task_parts import TaskParts

_FREE = 32767


class PackedNet(PartsOfNet):
    """A net whose weights are owned by the task that kept them; a task computes with its own and those of earlier ones.

    Args:
        net: any.
        n_tasks: tasks that there will be.
        leave: parameters that belong to nobody, as shell patterns of their names in the net.

    Attributes:
        open_task: the task that is being trained and has chosen nothing yet; it computes with free weights too. -1:
        none.
    """

    def __init__(self, net: nn.Module, n_tasks: int, leave: tuple[str, ...] = ()) -> None:
        super().__init__(net, n_tasks)
        self.open_task = -1
        self.owned: dict[str, str] = {}
        left = left_alone(dict(net.named_parameters()), leave)
        for name, parameter in net.named_parameters():
            if parameter.dim() > 1 and name not in left:
                self.owned[name] = f"owner_of_{name.replace('.', '_')}"
                self.register_buffer(self.owned[name], torch.full_like(parameter, _FREE, dtype=torch.short))

    def owner(self, name: str) -> Tensor:
        """Return the number of the task that owns each weight of a parameter, 32767 where it is free."""
        return self.get_buffer(self.owned[name])

    def part(self, task: int) -> dict[str, Tensor]:
        """Return the weights, those that the task does not have set to zero."""
        if task == self.open_task:
            return {}
        weights = dict(self.net.named_parameters())
        return {name: weights[name] * (self.owner(name) <= task) for name in self.owned}


class Packed(TaskParts):
    """PackNet (Mallya and Lazebnik 2018).

    A task trains all weights that no earlier one owns. Then, in each layer, those with the largest magnitude become
    its own and the rest are set to zero and free again; the task trains its own on for the remaining steps. What is
    owned never changes, bit for bit, and the task's label tells at test which weights take part. Biases and
    normalisation are trained by the first task only.

    Args:
        share: of each layer's free weights that a task keeps; None: such that all tasks own equally many.
        retrain: share of the steps that are for training on what was kept.
        leave: parameters that belong to no task, as shell patterns of their names: a head per task.

    Raises:
        ValueError: a number is out of range.
    """

    kind = PackedNet
    net: PackedNet

    def __init__(
        self,
        share: Annotated[
            float | None, Field(gt=0, le=1, description="Of the free weights that a task keeps; null: equal shares.")
        ] = None,
        retrain: Annotated[
            float, Field(ge=0, lt=1, description="Share of the steps to train on with what was kept.")
        ] = 0.5,
        leave: Annotated[
            list[str] | None,
            Field(description="Parameters of no task, as patterns of their names: [classifier*] for a head per task."),
        ] = None,
    ) -> None:
        if not (share is None or 0 < share <= 1) or not 0 <= retrain < 1:
            raise ValueError(f"share must be above 0 and at most 1, retrain from 0 to below 1, not {share}, {retrain}")
        self.share, self.retrain, self.leave = share, retrain, tuple(leave or ())

    def wrap(self, net: nn.Module, n_tasks: int) -> PackedNet:
        """Return the net in which weights have owners.

        Raises:
            ValueError: a layer stores its live synapses only, or a pattern of ``leave`` matches no parameter.
        """
        refuse_live(net)
        return PackedNet(net, n_tasks, self.leave)

    @torch.no_grad()
    def before_task(self, task: int) -> None:
        """Let the task train what is free."""
        self.net.open_task, self._free_steps = task, 0
        free = {name: (self.net.owner(name) == _FREE) for name in self.net.owned}
        self._let_through(free, others=task == 0)

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Count the steps of free training that are left."""
        self._free_steps = round((1 - self.retrain) * epochs * steps) - epoch * steps

    def after_step(self, step: object) -> None:
        """Choose, once they are over."""
        self._free_steps -= 1
        if self._free_steps == 0:
            self._choose(self.net.open_task)

    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Choose, if that is still to be done; then nothing changes any more."""
        if self.net.open_task >= 0:
            self._choose(task)

    @torch.no_grad()
    def _choose(self, task: int) -> None:
        share = 1 / (self.net.n_tasks - task) if self.share is None else self.share
        weights = dict(self.net.net.named_parameters())
        known = self.ledger.synapses
        for name in self.net.owned:
            owner, weight = self.net.owner(name), weights[name]
            found = known.get(f"{self.prefix}net.{name}")
            live = found.live if found is not None else None
            free = owner == _FREE if live is None else (owner == _FREE) & live
            places = free.flatten().nonzero().flatten()
            kept = places[weight.flatten()[places].abs().topk(round(share * len(places)), sorted=False).indices]
            owner.flatten()[kept] = task
            weight.masked_fill_(owner == _FREE, 0.0)
        self.net.open_task = -1
        self._let_through({name: self.net.owner(name) == task for name in self.net.owned}, others=task == 0)

    def _let_through(self, free: dict[str, Tensor], others: bool) -> None:
        """Let the places that are True change, and of parameters without owner those that are left to themselves."""
        scale: dict[str, Tensor | float] = {f"net.{name}": where.float() for name, where in free.items()}
        for name, _ in self.net.net.named_parameters():
            if name not in free and not is_left(name, self.leave):
                scale[f"net.{name}"] = float(others)
        self.let_through(scale)

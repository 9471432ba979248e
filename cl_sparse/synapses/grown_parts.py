"""A net that grows: for each task new synapses between units that are used least, and all that is there is kept."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.errors import UserError
from cl_sparse.synapses.connectivity_rules import smallest, steepest, wiring_of
from cl_sparse.synapses.grown_net import GrownNet
from cl_sparse.synapses.mechanism import Needs
from cl_sparse.synapses.synapses import Synapses
from cl_sparse.synapses.task_parts import TaskParts


class GrownParts(TaskParts):
    """Growth with preservation: a task gets units, and grows synapses of its own between them; they never change again.

    The net that is built is a task's part: its width, and how many synapses it has. The wide net, of which it is a
    part, has ``width`` times as many units in each hidden layer. When a task begins, the units that the fewest tasks
    use become its part, and synapses grow at places that are free in the wide net. While it trains, the smallest of
    them may move to where the loss's gradient, as momentum averages it, is largest (Dettmers and Zettlemoyer 2019; with
    the gradient itself: Evci et al. 2020, RigL). When it ends, its synapses are preserved, bit for bit.

    With ``width`` null no unit is in two tasks, and the wide net is the tasks' own sub-nets side by side. Narrower,
    units are shared and their synapses are not: the logits of old tasks stay the same, bit for bit, either way.

    Args:
        width: units of the wide net over those of a part; None: as many parts as there are tasks.
        places: where synapses of the first layer grow. "spread": a place is drawn in proportion to the standard
            deviation of its input in the task's training data; "uniform": any alike. Of deeper layers any alike.
        reuse: whether a task computes with the preserved synapses between its units, too.
        moved: share of the task's synapses that move after an epoch.
        until: share of the epochs after which none move any more.
        full: what to do where fewer places are free than synapses are to grow: "refuse" to go on, or "less": grow as
            many as there are.

    Raises:
        ValueError: a number is out of range.
    """

    kind = GrownNet
    net: GrownNet
    needs = Needs.BOUNDARIES

    def __init__(
        self,
        width: Annotated[
            float | None, Field(ge=1, description="The wide net's units over those of a part; null: one for each task.")
        ] = None,
        places: Annotated[
            Literal["spread", "uniform"],
            Field(description="spread: in proportion to an input's standard deviation; uniform: anywhere."),
        ] = "spread",
        reuse: Annotated[bool, Field(description="Whether old synapses between a task's units take part.")] = False,
        moved: Annotated[float, Field(ge=0, le=1, description="Share of synapses that move after an epoch.")] = 0.2,
        until: Annotated[float, Field(ge=0, le=1, description="Share of the epochs that synapses move in.")] = 0.75,
        full: Annotated[
            Literal["refuse", "less"], Field(description="Where too few places are free: refuse, or grow less.")
        ] = "refuse",
    ) -> None:
        if not (width is None or width >= 1) or not 0 <= moved <= 1 or not 0 <= until <= 1:
            raise ValueError(f"width must be at least 1, moved and until from 0 to 1, not {width}, {moved} and {until}")
        self.width, self.places, self.reuse = width, places, reuse
        self.moved, self.until, self.full = moved, until, full
        self._spread = torch.ones(())  # of each input, in the task's training data
        self._growth: list[dict[str, Any]] = []
        self._taken: dict[str, Tensor] = {}  # by layer, bool (units, inputs): whose places other tasks have
        self._old: dict[str, Tensor] = {}  # and which of their synapses take part

    def wrap(self, net: nn.Module, n_tasks: int) -> GrownNet:
        """Return the wide net of which ``net`` is a part.

        Raises:
            ValueError: a hidden layer is dense; or places are to follow the inputs' spread, and the first layer is a
                convolution.
        """
        grown = GrownNet(net, n_tasks, self.width)
        first = net.get_submodule(next(iter(grown.hidden)))
        if self.places == "spread" and not isinstance(first, nn.Linear):
            raise ValueError("places: spread is for a linear first layer: choose uniform")
        return grown

    # -------------------- moments

    @torch.no_grad()
    def see_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Measure the spread of the task's inputs."""
        if self.places != "spread":
            return
        n, total, squares = 0, torch.zeros(()), torch.zeros(())
        for x, *_ in batches:
            flat = x.flatten(1).double().cpu()
            n, total, squares = n + len(flat), total + flat.sum(0), squares + flat.square().sum(0)
        if not n:
            raise ValueError("places: spread needs the task's training data: before_task(task, batches)")
        self._spread = (squares / n - (total / n) ** 2).clamp(min=0).sqrt().float()

    @torch.no_grad()
    def before_task(self, task: int) -> None:
        """Choose the task's units, and grow its synapses."""
        self.net.begin(task, {layer: self._least_used(layer) for layer in self.net.hidden})
        for layer in self.net.hidden:
            self._grow(layer, task)
        if self.ledger.optimizer is not None:
            for parameter in self.net.net.parameters():
                self.ledger.optimizer.state.pop(parameter, None)
        if self.reuse:
            free = {layer: (~old).float().view_as(self._found(layer).parameter) for layer, old in self._old.items()}
            self.let_through({f"net.{layer}.weight": factors for layer, factors in free.items()})

    @torch.no_grad()
    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Let the smallest synapses move."""
        if self.net.open_task >= 0 and self.moved and 0 < epoch <= self.until * epochs:
            for layer in self.net.hidden:
                self._move(layer)

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Preserve the task's synapses."""
        shared = {layer: int((self.net.uses(layer)[units] > 0).sum()) for layer, units in self.net.units.items()}
        self.net.store({layer: ~old for layer, old in self._old.items()})
        self._growth.append({"task": task, "layers": {layer: self._grown(layer, shared) for layer in self.net.hidden}})

    # -------------------- results

    def _grown(self, layer: str, shared: dict[str, int]) -> dict[str, int]:
        part, reused = self._found(layer).n_live, int(self._old[layer].sum())
        places = self.net.total(layer) * self.net.inputs_total(layer)
        free = places - len(self.net.owned(layer)[0])
        return {"grown": part - reused, "reused": reused, "shared_units": shared[layer], "free": free}

    def statistics(self) -> dict[str, Any]:
        """Return, task by task and layer by layer, how many synapses grew, how many old ones take part, how many units
        other tasks use too, and how many places of the wide net were free when it ended."""
        return {"growth": self._growth}

    def state_dict(self) -> dict[str, Any]:
        """Return what became of each task so far."""
        return {"growth": self._growth}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self._growth = list(state["growth"])

    # -------------------- what they do

    def _least_used(self, layer: str) -> Tensor:
        uses = self.net.uses(layer)
        order = uses + torch.rand(len(uses), generator=self.generator)
        return order.topk(len(self._found(layer).parameter), largest=False).indices.sort().values

    def _grow(self, layer: str, task: int) -> None:
        """Give the task its synapses in a layer, and no others but, if asked, those preserved between its units."""
        wide = self.net.wide_places(layer, self.net.units)
        taken, weights = self._preserved(layer, wide)
        n = min(self.net.budget[layer], int((~taken).sum()))
        if n < self.net.budget[layer] and self.full == "refuse":
            raise UserError(
                f"{self.name}: {layer} is full: task {task} is to grow {self.net.budget[layer]} synapses, and {n} "
                "places between its units are free: choose a larger width, or full: less"
            )
        first = layer == next(iter(self.net.hidden))
        chance = (self._spread if first else torch.ones(())).expand(wide.shape)
        new = _drawn(chance.masked_fill(taken, -1.0), n, self.generator)
        old = taken if self.reuse else torch.zeros_like(taken)
        values = torch.rand(wide.shape, generator=self.generator).mul_(2).sub_(1)
        values *= new.sum(1, keepdim=True).clamp(min=1).rsqrt()  # as torch's own layers, by the live inputs of a unit
        values = torch.where(old, weights, values)
        units, inputs = (new | old).nonzero(as_tuple=True)
        found = self._found(layer)
        self.ledger.rewire(found, torch.arange(found.n_live), (units, inputs), values[units, inputs])
        self._taken[layer], self._old[layer] = taken, old

    def _preserved(self, layer: str, wide: Tensor) -> tuple[Tensor, Tensor]:
        """Return at which places other tasks' synapses live, bool in the shape of ``wide``, and their weights."""
        places, weights = self.net.owned(layer)
        if not len(places):
            return torch.zeros_like(wide, dtype=torch.bool), torch.zeros(wide.shape)
        at = torch.searchsorted(places, wide).clamp_(max=len(places) - 1)
        return places[at] == wide, weights[at].float()

    def _move(self, layer: str) -> None:
        """Drop the smallest of the task's synapses, and grow as many where the gradient is largest."""
        found = self._found(layer)
        wiring = wiring_of(found, self.generator)
        free = wiring.free[~self._taken[layer].flatten()[wiring.free]]
        wiring = replace(wiring, may_go=~self._old[layer][wiring.units, wiring.inputs], free=free)
        wiring = replace(wiring, gradient=wiring.pick(self._pull(found).flatten(1).cpu()))
        drop = smallest(wiring, self.moved)[: len(free)]
        self.ledger.rewire(found, drop, steepest(wiring, len(drop)))

    def _pull(self, found: Synapses) -> Tensor:
        """Return the averaged gradient of a weight, at places without a synapse too."""
        optimizer = self.ledger.optimizer
        state = optimizer.state.get(found.parameter, {}) if optimizer is not None else {}
        for name in ("exp_avg", "momentum_buffer"):
            if state.get(name) is not None:
                averaged: Tensor = state[name]
                return averaged
        assert found.parameter.grad is not None
        return found.parameter.grad

    def _found(self, layer: str) -> Synapses:
        return self.ledger.synapses[f"{self.prefix}net.{layer}.weight"]


def _drawn(chance: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n places, drawn one after the other without returning, in proportion to their chance; bool.

    Args:
        chance: at least 0; negative where nothing is to be drawn. Places of chance 0 come last.
        n: how many.
        generator: draws.
    """
    noise = -torch.rand(chance.shape, generator=generator).clamp_(min=1e-30).log()  # exponential
    order = torch.where(chance < 0, -torch.inf, chance.clamp(min=1e-30).log() - noise.clamp_(min=1e-30).log())
    drawn = torch.zeros(chance.numel(), dtype=torch.bool)
    drawn[order.flatten().topk(n).indices] = True
    return drawn.view(chance.shape)

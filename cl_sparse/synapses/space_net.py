"""SpaceNet: each task gets a few synapses between a few units, compacted while it learns; the rest stays free."""

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.layers.consumers import Consumers
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.step import Step
from cl_sparse.synapses.synapses import Synapses
from cl_sparse.synapses.update_scale import scale_updates

Share = Annotated[float, Field(gt=0, le=1)]


class SpaceNet(Mechanism):
    """SpaceNet (Sokar, Mocanu and Pechenizkiy 2021), for class-incremental streams and one head.

    The net starts without synapses. For each task, a share of every hidden layer's units is selected at random among
    those that no task has reserved, and synapses are placed at random between them. Each accumulates as importance
    |g·Δw|, a unit the sum over its synapses. After every epoch but the last the least important synapses of the task
    are dropped, and as many grown, with weight 0, where the product of both ends' importances is largest. When the task
    ends its synapses are frozen, and the most important units reserved: no later task places a synapse into or out of
    them. Units that were selected and not reserved may be shared.

    The head reads a share of the selected units. Its rows that a task trains are frozen afterwards; rows of classes
    to come stay 0. Choose loss_outputs: current, so that old classes' rows are not trained on new tasks.

    Args:
        selected: share of a hidden layer's units that a task gets; the authors: 80 of 400.
        reserved: share that it keeps for itself; the authors: 40 of 400.
        density: share of the places between selected units that get a synapse; the authors: .16 and .26.
        head_density: share of the last layer's selected units that the head reads; the authors: half.
        drop: share of a task's synapses that is rewired after an epoch; the authors: .2.

    Raises:
        ValueError: a share is out of range, or more is reserved than selected.
    """

    needs = Needs.ALL
    task_info = ("boundaries", "none")
    follows_units = False

    def __init__(
        self,
        selected: Annotated[Share, Field(description="Share of a layer's units that a task gets.")] = 0.2,
        reserved: Annotated[Share, Field(description="Share of a layer's units that it keeps for itself.")] = 0.1,
        density: Annotated[Share, Field(description="Share of the places between them with a synapse.")] = 0.2,
        head_density: Annotated[Share, Field(description="Share of the selected units that the head reads.")] = 0.5,
        drop: Annotated[Share, Field(description="Share of a task's synapses rewired after an epoch.")] = 0.2,
    ) -> None:
        for name, share in (
            ("selected", selected),
            ("density", density),
            ("head_density", head_density),
            ("drop", drop),
        ):
            if not 0 < share <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {share}")
        if not 0 < reserved <= selected:
            raise ValueError(f"reserved must be above 0 and at most selected, {selected}, not {reserved}")
        self.selected, self.reserved, self.density = selected, reserved, density
        self.head_density, self.drop = head_density, drop

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Drop all synapses of the hidden layers, and empty the head.

        Raises:
            ValueError: a hidden layer is not masked, or there is not one head.
        """
        consumers: dict[str, Consumers] = ledger.consumers()
        known = {found.layer: found for found in ledger.synapses.values()}
        self.layers = list(consumers)
        for layer in self.layers:
            if known[layer].stored != "masked":
                raise ValueError(f"{layer} is {known[layer].stored}: masked weights are needed in every hidden layer")
        heads = consumers[self.layers[-1]].readers if self.layers else ()
        if len(heads) != 1:
            raise ValueError(f"one head for all tasks is needed, not {len(heads)}")
        self.ledger, self.generator, self.head = ledger, generator, heads[0]
        self.importance = ledger.keep(self.name, "importance")
        self.updates = scale_updates(ledger, {}, owner=self.name)
        self.taken = {layer: torch.zeros(known[layer].shape[0], dtype=torch.bool) for layer in self.layers}
        self.chosen = {layer: torch.zeros_like(taken) for layer, taken in self.taken.items()}
        self.done = torch.zeros(known[self.head].shape[0], dtype=torch.bool)  # rows of the head
        nothing = torch.zeros(0, dtype=torch.long)
        for layer in self.layers:
            found = known[layer]
            ledger.rewire(found, torch.arange(found.n_live), (nothing, nothing))
        with torch.no_grad():
            known[self.head].parameter.zero_()

    # -------------------- moments

    @torch.no_grad()
    def before_task(self, task: int) -> None:
        """Select units, and place the task's synapses."""
        for layer, found in self._synapses().items():
            self.chosen[layer] = self._select(layer)
            places = self._free_places(layer, found)
            n = round(self.density * int(self.chosen[layer].sum()) * int(self._below(layer, found).sum()))
            places = places[torch.randperm(len(places), generator=self.generator)[:n]]
            fan_in = max(1.0, n / int(self.chosen[layer].sum()))
            values = (2 * torch.rand(len(places), generator=self.generator) - 1) / fan_in**0.5
            self.ledger.rewire(found, places.new_zeros(0), (places[:, 0], places[:, 1]), values)
            self.importance[found.name].zero_()
            if found.bias is not None:
                self.updates.set({found.bias: (~self.taken[layer]).float()})
        self._open_head()

    @torch.no_grad()
    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Move the least important synapses to where both ends are important."""
        if not epoch:
            return
        units = self._importance_of_units()
        for layer, found in self._synapses().items():
            own = (found.of_live(self.updates.scale[found.name]) > 0).nonzero().flatten()
            places = self._free_places(layer, found)
            n = min(round(self.drop * len(own)), len(places))
            least = found.of_live(self.importance[found.name])[own].topk(n, largest=False, sorted=False).indices
            both = units[layer][places[:, 0]] * self._source_importance(layer, found, units)[places[:, 1]]
            most = places[both.topk(n, sorted=False).indices]
            self.ledger.rewire(found, own[least], (most[:, 0], most[:, 1]))

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """Add |g·Δw| to the importances."""
        for name, touched in step.touched.items():
            self.importance[name] += (touched.grad * touched.change).abs_()

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Freeze the task's synapses, and reserve its most important units."""
        units = self._importance_of_units()
        scale: dict[str, Tensor | float] = {}
        for layer, found in self._synapses().items():
            n = min(round(self.reserved * len(self.taken[layer])), int(self.chosen[layer].sum()))
            rank = torch.where(self.chosen[layer], units[layer].cpu(), -1.0)
            self.taken[layer][rank.topk(n, sorted=False).indices] = True
            scale[found.name] = 0.0
        self.updates.set(scale)
        self._close_head()

    # -------------------- what they do

    def _select(self, layer: str) -> Tensor:
        free = (~self.taken[layer]).nonzero().flatten()
        n = min(len(free), max(1, round(self.selected * len(self.taken[layer]))))
        chosen = torch.zeros_like(self.taken[layer])
        chosen[free[torch.randperm(len(free), generator=self.generator)[:n]]] = True
        return chosen

    def _below(self, layer: str, found: Synapses) -> Tensor:
        """Return which inputs of a layer the task may use, bool (inputs,): all of the first, else selected units."""
        place = self.layers.index(layer)
        inputs = found.shape[1:].numel()
        if not place:
            return torch.ones(inputs, dtype=torch.bool)
        chosen = self.chosen[self.layers[place - 1]]
        return chosen.repeat_interleave(inputs // len(chosen))

    def _free_places(self, layer: str, found: Synapses) -> Tensor:
        """Return the places between units of the task that have no synapse, long (n, 2)."""
        free = self.chosen[layer][:, None] & self._below(layer, found)[None, :]
        units, inputs = (places.cpu() for places in found.places())
        free[units, inputs] = False
        return free.nonzero()

    def _importance_of_units(self) -> dict[str, Tensor]:
        found = self._synapses()
        return {layer: self._live_importance(own).sum(1) for layer, own in found.items()}

    def _live_importance(self, found: Synapses) -> Tensor:
        """Return the importances (units, inputs), 0 where no synapse lives: an optimizer moves what a mask holds at
        0."""
        live = found.live
        assert live is not None
        return (self.importance[found.name] * live).flatten(1).cpu()

    def _source_importance(self, layer: str, found: Synapses, units: dict[str, Tensor]) -> Tensor:
        """Return the importance of a layer's inputs: of the net's, the sum over what they reach."""
        place = self.layers.index(layer)
        if not place:
            return self._live_importance(found).sum(0)
        below = units[self.layers[place - 1]]
        return below.repeat_interleave(found.shape[1:].numel() // len(below))

    def _open_head(self) -> None:
        """Let the rows of classes to come read some of the last layer's selected units."""
        weight = self.ledger.parameters()[f"{self.head}.weight"]
        chosen = self.chosen[self.layers[-1]].nonzero().flatten()
        n = max(1, round(self.head_density * len(chosen)))
        units = torch.zeros(len(self.chosen[self.layers[-1]]), dtype=torch.bool)
        units[chosen[torch.randperm(len(chosen), generator=self.generator)[:n]]] = True
        reads = units.repeat_interleave(weight.shape[1] // len(units))
        opened = (~self.done)[:, None] & reads[None, :]
        drawn = (2 * torch.rand(weight.shape, generator=self.generator) - 1) / int(reads.sum()) ** 0.5
        weight.copy_(torch.where(opened.to(weight.device), drawn.to(weight), weight))
        self.importance[f"{self.head}.weight"].zero_()
        self.updates.set({f"{self.head}.weight": opened.to(weight), f"{self.head}.bias": (~self.done).to(weight)})

    def _close_head(self) -> None:
        """Keep the rows that had a gradient; empty the others."""
        weight = self.ledger.parameters()[f"{self.head}.weight"]
        self.done |= self.importance[f"{self.head}.weight"].any(1).cpu()
        weight[(~self.done).to(weight.device)] = 0.0
        self.updates.set({f"{self.head}.weight": 0.0, f"{self.head}.bias": 0.0})

    def _synapses(self) -> dict[str, Synapses]:
        known = {found.layer: found for found in self.ledger.synapses.values()}
        return {layer: known[layer] for layer in self.layers}

    @property
    def nbytes(self) -> int:
        """Bytes of which units are reserved, and which rows done."""
        return sum(taken.nbytes for taken in self.taken.values()) + self.done.nbytes

    def state_dict(self) -> dict[str, Any]:
        """Return which units are reserved, and which rows of the head are done."""
        return {"taken": dict(self.taken), "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it.

        Raises:
            ValueError: it is of other layers.
        """
        own = {layer: len(taken) for layer, taken in self.taken.items()}
        if {layer: len(taken) for layer, taken in state["taken"].items()} != own:
            raise ValueError(f"what is reserved is of the layers {sorted(state['taken'])}")
        self.taken = {layer: taken.cpu().clone() for layer, taken in state["taken"].items()}
        self.done = state["done"].cpu().clone()

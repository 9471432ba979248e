"""NISPA: units that a task needs become stable, and the connections of the others are rewired."""

import math
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.errors import UserError
from cl_sparse.layers.consumers import Consumers
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.passes import in_full
from cl_sparse.synapses.synapses import Synapses
from cl_sparse.synapses.update_scale import scale_updates


class Nispa(Mechanism):
    """Neuro-inspired stability-plasticity adaptation, NISPA (Gurbuz and Dovrolis 2022).

    A sparse net of which each task makes some hidden units stable. After every epoch but the last, in each layer the
    fewest plastic units that, with the stable ones, hold a share τ of all activity become candidates, τ falling by a
    half cosine from 1 (their eq. for τ); connections from plastic units to candidates are dropped, and equally many
    grown, at random, into units that are plastic. When the task ends the candidates are stable: what they read never
    changes again, and they read nothing but stable units and the input. So do the task's outputs. The label chooses the
    head at test; nothing is forgotten.

    Here a phase is an epoch, and how many there are is given; the authors go on until the accuracy of the candidates
    falls by a given amount. Weights of plastic units are drawn anew before each task.

    Args:
        phases: of the half cosine, k in the paper: the smaller, the fewer units become stable.

    Raises:
        ValueError: it is below 1.
    """

    needs = Needs.BOUNDARIES
    task_info = ("label", "label")
    follows_units = False

    def __init__(
        self,
        phases: Annotated[int, Field(ge=1, description="Epochs in which the share of activity would fall to 0.")] = 40,
    ) -> None:
        if phases < 1:
            raise ValueError(f"phases must be at least 1, not {phases}")
        self.phases = phases

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with every unit plastic.

        Raises:
            ValueError: a hidden layer is dense, or its readers are not known, or the tasks have no heads of their own.
        """
        self.ledger, self.generator = ledger, generator
        consumers: dict[str, Consumers] = ledger.consumers()
        known = {found.layer: found for found in ledger.synapses.values()}
        self.layers = list(consumers)
        if not self.layers:
            raise ValueError("the net does not say who reads its hidden units")
        for layer in self.layers:
            if known[layer].stored not in ("masked", "live"):
                raise ValueError(f"{layer} is dense: sparse weights are needed, in every hidden layer")
        self.heads = list(consumers[self.layers[-1]].readers)
        if len(self.heads) < 2:
            raise ValueError("a head for each task is needed: heads: multi")
        self.stable = {layer: torch.zeros(known[layer].shape[0], dtype=torch.bool) for layer in self.layers}
        self.candidates = {layer: stable.clone() for layer, stable in self.stable.items()}
        self.activity = {layer: torch.zeros(len(stable)) for layer, stable in self.stable.items()}
        self.updates = scale_updates(ledger, {}, owner=self.name)
        self._hooks: list[Any] = []

    # -------------------- moments

    @torch.no_grad()
    def before_task(self, task: int) -> None:
        """Draw plastic units anew; watch what is active."""
        self.candidates = {layer: stable.clone() for layer, stable in self.stable.items()}
        self._head = self.heads[task]
        for layer, found in self._synapses().items():
            if task:
                self._draw_plastic(layer, found)
        for hook in self._hooks:
            hook.remove()
        self._hooks = [
            self.ledger.model.get_submodule(name).register_forward_hook(self._watch(name)) for name in self.layers
        ]

    @torch.no_grad()
    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Choose candidates by the activity of the epoch before, and rewire.

        Raises:
            UserError: a single epoch leaves no room for it.
        """
        if epochs < 2:
            raise UserError(f"{self.name} chooses units between two epochs of a task: train_ep must be at least 2")
        if epoch:
            share = 0.5 * (1 + math.cos(min(1.0, epoch / self.phases) * math.pi))
            for layer in self.layers:
                self.candidates[layer] = self._chosen(layer, share)
            self._rewire()
            self._cut_head()
        for activity in self.activity.values():
            activity.zero_()

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Make the candidates stable."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self.stable = {layer: chosen.clone() for layer, chosen in self.candidates.items()}
        scale: dict[str, Tensor | float] = {}
        for layer, found in self._synapses().items():
            units, _ = found.places()
            factors = torch.ones_like(found.parameter)
            found.set_live(factors, (~self.stable[layer])[units.cpu()].to(factors))
            scale[found.name] = factors
            if found.bias is not None:
                scale[found.bias] = (~self.stable[layer]).float()
        self.updates.set(scale)

    # -------------------- what they do

    def _chosen(self, layer: str, share: float) -> Tensor:
        """Return the stable units, and of the others the most active that bring the activity to a share of all."""
        stable, activity = self.stable[layer], self.activity[layer]
        order = torch.where(stable, torch.inf, activity).argsort(descending=True, stable=True)
        held = activity[order].cumsum(0)
        n = int((held < share * activity.sum() * (1 - 1e-6)).sum()) + 1
        chosen = stable.clone()
        chosen[order[: max(n, int(stable.sum()))]] = True
        return chosen

    def _rewire(self) -> None:
        below: str | None = None
        for layer, found in self._synapses().items():
            if below is not None:
                into, out_of = self.candidates[layer], self.candidates[below]
                units, inputs = (places.cpu() for places in found.places())
                sources = inputs // (found.shape[1:].numel() // len(out_of))
                wrong = into[units] & ~self.stable[layer][units] & ~out_of[sources]
                drop = wrong.nonzero().flatten()
                grow = self._free_places(found, ~into, len(drop))
                self.ledger.rewire(found, drop, grow)
            below = layer

    def _free_places(self, found: Synapses, plastic: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Return at most ``n`` places without a synapse, into plastic units, drawn at random."""
        free = plastic[:, None].expand(found.shape[0], found.shape[1:].numel()).clone()
        units, inputs = (places.cpu() for places in found.places())
        free[units, inputs] = False
        places = free.nonzero()
        places = places[torch.randperm(len(places), generator=self.generator)[:n]]
        return places[:, 0], places[:, 1]

    def _cut_head(self) -> None:
        """Let the task's outputs read nothing but candidates."""
        head = self.ledger.model.get_submodule(self._head)
        weight, chosen = head.get_parameter("weight"), self.candidates[self.layers[-1]]
        reads = chosen.repeat_interleave(weight.shape[1] // len(chosen)).to(weight)
        weight.mul_(reads)
        self.updates.set({f"{self._head}.weight": reads.expand_as(weight)})

    def _draw_plastic(self, layer: str, found: Synapses) -> None:
        """Draw the weights into plastic units, uniform in ±1/√(live inputs), and forget their momenta."""
        units, _ = found.places()
        plastic = (~self.stable[layer])[units.cpu()].to(units.device)
        fan_in = torch.bincount(units, minlength=found.shape[0]).clamp(min=1)[units]
        drawn = torch.rand(len(units), generator=self.generator).to(found.parameter).mul_(2).sub_(1) / fan_in.sqrt()
        values = torch.where(plastic, drawn, found.of_live(found.current()))
        found.set_live(found.parameter.detach(), values)
        if self.ledger.optimizer is not None:
            self.ledger.optimizer.state.pop(found.parameter, None)

    def _watch(self, layer: str) -> Any:
        def forward(module: nn.Module, _: Any, output: Tensor) -> None:
            if module.training and output.requires_grad:
                active = in_full(output.detach()).relu()
                self.activity[layer] += (active.flatten(2).sum(2) if active.dim() > 2 else active).sum(0).cpu()

        return forward

    def _synapses(self) -> dict[str, Synapses]:
        known = {found.layer: found for found in self.ledger.synapses.values()}
        return {layer: known[layer] for layer in self.layers}

    @property
    def nbytes(self) -> int:
        """Bytes of which units are stable."""
        return sum(stable.nbytes for stable in self.stable.values())

    def state_dict(self) -> dict[str, Any]:
        """Return which units are stable."""
        return {"stable": dict(self.stable)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it.

        Raises:
            ValueError: it is of other layers.
        """
        if {name: len(stable) for name, stable in state["stable"].items()} != {
            n: len(s) for n, s in self.stable.items()
        }:
            raise ValueError(f"what is stable is of the layers {sorted(state['stable'])}")
        self.stable = {name: stable.cpu() for name, stable in state["stable"].items()}

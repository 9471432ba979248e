"""Synapses that change slowly, or never again, once a task has needed them."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.importance import fisher, sensitivity, use
from cl_sparse.synapses.leaving import is_left, left_alone
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.passes import readers_of, weight_layers
from cl_sparse.synapses.step import Step
from cl_sparse.synapses.synapses import Synapses
from cl_sparse.synapses.update_scale import scale_updates

Rule = Literal["magnitude", "random", "fisher", "sensitivity", "path", "use"]


class Frozen(Mechanism):
    """After each task, preserve a share of the live synapses that are still free: freeze them, or slow them down.

    What an optimizer step changes them by is multiplied by ``slow`` from then on: at 0 they never change again, bit for
    bit. The choice is made within each layer, of the synapses that are free still, so that what is preserved grows
    from task to task. Biases are no synapses; they are preserved, if at all, together after the first task. (Freezing
    what a task needs, by magnitude: Mallya and Lazebnik 2018, "PackNet".)

    Args:
        share: of each layer's free live synapses to preserve after each task, rounded, 0 to 1.
        rule: by which the most important are chosen. "magnitude": |w|; "fisher": squared gradient of the likelihood, as
            in ``ElasticWeights``; "sensitivity": as in ``AwareSynapses``; "path": −Σ g·Δw over the task, as in
            ``SynapticIntelligence``; "use": the share of the task's samples in which the unit and its input are both
            active; "random": any.
        biases: whether biases and normalisation are preserved after the first task.
        leave: parameters that stay free, as shell patterns of their names ("classifier*" for the heads).
        slow: factor on every later change of a preserved synapse, 0 to below 1; 0: frozen.

    Raises:
        ValueError: a number is out of range.
    """

    needs = Needs.BOUNDARIES
    task_info = ("boundaries", "none")

    def __init__(
        self,
        share: Annotated[
            float, Field(ge=0, le=1, description="Share of each layer's free live synapses to freeze after each task.")
        ] = 0.5,
        rule: Annotated[
            Rule,
            Field(description="The most important by magnitude, fisher, sensitivity, path or use; or random ones."),
        ] = "magnitude",
        biases: Annotated[
            bool, Field(description="Whether biases and normalisation are frozen after the first task.")
        ] = True,
        leave: Annotated[
            list[str] | None,
            Field(description="Parameters that stay free, as patterns of their names: [classifier*] for the heads."),
        ] = None,
        slow: Annotated[
            float, Field(ge=0, lt=1, description="Factor on later changes of what is preserved; 0: frozen.")
        ] = 0.0,
    ) -> None:
        if not 0 <= share <= 1 or not 0 <= slow < 1:
            raise ValueError(f"share must be from 0 to 1, slow from 0 to below 1, not {share} and {slow}")
        self.share, self.rule, self.biases, self.leave, self.slow = share, rule, biases, tuple(leave or ()), slow
        self.fractional = 0 < slow < 1
        if rule in ("fisher", "sensitivity", "use"):
            self.needs = Needs.ALL  # their passes want layers that compute everything
        elif rule == "path":
            self.needs = Needs.TOUCHED

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with nothing preserved.

        Raises:
            ValueError: a weight is of no layer whose synapses are known, and is not left free; or of one of which the
                rule cannot tell how important they are; or a pattern of ``leave`` matches no parameter.
        """
        known = ledger.synapses
        left_alone(ledger.parameters(), self.leave)
        for name, parameter in ledger.parameters().items():
            if parameter.dim() > 1 and name not in known and not self._left(name):
                raise ValueError(
                    f"{name} is of no layer that frozen knows the synapses of: leave: [{name}] lets it free"
                )
        if self.needs is Needs.ALL:
            weight_layers(ledger.model)
        self.ledger, self.generator = ledger, generator
        self.updates = scale_updates(ledger, {}, owner=self.name)
        self.path = ledger.keep(self.name, "path") if self.rule == "path" else {}

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """Add −g·Δw to the path integrals of the synapses that took part."""
        for name, touched in step.touched.items() if self.rule == "path" else ():
            touched.add_fall(self.path[name])

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Preserve this task's share."""
        synapses = self.ledger.synapses
        importance = self._importance(batches)
        free = {name: scale.clone() for name, scale in self.updates.scale.items() if not self._left(name)}
        for name, scale in free.items():
            if name in synapses:
                self._preserve_share(synapses[name], scale, importance)
            elif self.biases:
                scale.fill_(self.slow)
        self.updates.set(free)
        for path in self.path.values():
            path.zero_()

    def frozen(self) -> dict[str, int]:
        """Return how many live synapses of each weight are preserved."""
        return {
            name: int((found.of_live(self.updates.scale[name]) < 1).sum())
            for name, found in self.ledger.synapses.items()
        }

    def _preserve_share(self, found: Synapses, scale: Tensor, importance: dict[str, Tensor]) -> None:
        live = found.of_live(scale)
        free = (live == 1).nonzero().flatten()
        rank = self._rank(found, importance)[free]
        chosen = free[rank.topk(round(self.share * len(free)), sorted=False).indices]
        found.set_live(scale, live.index_fill(0, chosen, self.slow))

    def _rank(self, found: Synapses, importance: dict[str, Tensor]) -> Tensor:
        if self.rule == "random":
            return torch.rand(found.n_live, generator=self.generator).to(found.parameter.device)
        return found.of_live(importance[found.name] if importance else found.current().abs())

    def _importance(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, Tensor]:
        """Return how much the task needs each synapse, by the parameter's name; nothing where no pass tells."""
        model = self.ledger.model
        if self.rule == "fisher":
            return fisher(model, batches, self.generator)
        if self.rule == "sensitivity":
            return sensitivity(model, batches)
        if self.rule == "use":
            return self._use(batches)
        return dict(self.path)

    def _use(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, Tensor]:
        """Return how often unit and input of each synapse are active together, as numbers per synapse."""
        synapses = self.ledger.synapses
        both = use(self.ledger.model, batches, readers_of(synapses.values(), self.ledger.consumers()))
        numbers = {name: torch.zeros_like(found.parameter) for name, found in synapses.items()}
        for name, found in synapses.items():
            if found.inside in both:  # heads of other tasks are not
                found.set_live(numbers[name], both[found.inside][found.places()])
        return numbers

    def _left(self, name: str) -> bool:
        return is_left(name, self.leave)

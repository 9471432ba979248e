"""Synapses that never change again, once a task has needed them."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.synapses import Synapses
from cl_sparse.synapses.update_scale import scale_updates


class Frozen(Mechanism):
    """After each task, freeze a share of the live synapses that are still free; they never change again, bit for bit.

    The choice is made within each layer. Biases have no magnitude to go by; they are frozen, if at all, together after
    the first task. (Freezing what a task needs, by magnitude: Mallya & Lazebnik 2018, "PackNet".)

    Args:
        share: of each layer's free live synapses to freeze after each task, rounded, 0 to 1.
        rule: "magnitude": those with the largest |w|; "random": any.
        biases: whether biases and normalisation are frozen after the first task.
        leave: parameters that stay free, as shell patterns of their names ("classifier*" for the heads).

    Raises:
        ValueError: ``share`` is out of range.
    """

    needs = Needs.BOUNDARIES
    task_info = ("boundaries", "none")

    def __init__(
        self,
        share: Annotated[
            float, Field(ge=0, le=1, description="Share of each layer's free live synapses to freeze after each task.")
        ] = 0.5,
        rule: Annotated[
            Literal["magnitude", "random"], Field(description="magnitude: the largest weights; random: any.")
        ] = "magnitude",
        biases: Annotated[
            bool, Field(description="Whether biases and normalisation are frozen after the first task.")
        ] = True,
        leave: Annotated[
            list[str] | None,
            Field(description="Parameters that stay free, as patterns of their names: [classifier*] for the heads."),
        ] = None,
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1, not {share}")
        self.share, self.rule, self.biases, self.leave = share, rule, biases, tuple(leave or ())

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with nothing frozen.

        Raises:
            ValueError: a weight is of no layer whose synapses are known, and is not left free.
        """
        known = ledger.synapses
        for name, parameter in ledger.parameters().items():
            if parameter.dim() > 1 and name not in known and not self._left(name):
                raise ValueError(
                    f"{name} is of no layer that frozen knows the synapses of: leave: [{name}] lets it free"
                )
        self.ledger, self.generator = ledger, generator
        self.updates = scale_updates(ledger, {}, owner=self.name)

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Freeze this task's share."""
        synapses = self.ledger.synapses
        free = {name: scale.clone() for name, scale in self.updates.scale.items() if not self._left(name)}
        for name, scale in free.items():
            if name in synapses:
                self._freeze_share(synapses[name], scale)
            else:
                scale.fill_(float(not self.biases))
        self.updates.set(free)

    def frozen(self) -> dict[str, int]:
        """Return how many live synapses of each weight are frozen."""
        return {
            name: int((found.of_live(self.updates.scale[name]) == 0).sum())
            for name, found in self.ledger.synapses.items()
        }

    def _freeze_share(self, found: Synapses, scale: Tensor) -> None:
        live = found.of_live(scale)
        free = (live > 0).nonzero().flatten()
        rank = self._rank(found.of_live(found.current()))[free]
        chosen = free[rank.topk(round(self.share * len(free)), sorted=False).indices]
        found.set_live(scale, live.index_fill(0, chosen, 0.0))

    def _rank(self, weights: Tensor) -> Tensor:
        if self.rule == "magnitude":
            return weights.abs()
        return torch.rand(weights.shape, generator=self.generator).to(weights.device)

    def _left(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.leave)

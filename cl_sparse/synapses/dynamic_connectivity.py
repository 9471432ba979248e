"""Connections that come and go while a net is trained."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.config.wording import near
from cl_sparse.synapses.coactivation import Coactivation
from cl_sparse.synapses.connectivity_rules import (
    DROP,
    GROW,
    NEED_COACTIVATION,
    NEED_GRADIENT,
    Wiring,
    dropped,
    wiring_of,
)
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.passes import readers_of
from cl_sparse.synapses.step import Step
from cl_sparse.synapses.synapses import Synapses

_SET = {"signed_magnitude": 0.3}


class DynamicConnectivity(Mechanism):
    """Drop some synapses of each sparse layer now and then, and grow as many elsewhere.

    What is known by other names: SET (Mocanu et al. 2018): ``drop: {signed_magnitude: 0.3}, grow: random``. RigL (Evci
    et al. 2020): ``drop: {magnitude: 0.3}, grow: gradient, every: 100, until: 0.75, annealed: true``. The Hebbian
    networks of Numenta's dynamic_sparse: ``drop: {coactivation: τ, signed_magnitude: ζ}``, a synapse going only if both
    say so. ``grow: cosine`` is after CTRE (Atashgahi et al. 2022), which compares activations, not whether they are
    above 0, and grows at random now and then. ``grow: ch3`` is the link prediction of CHT (Zhang et al. 2024), which
    drops by magnitude, lets dropped places be taken ``again``, and moreover starts from correlated inputs and removes
    units without inputs or readers.

    A layer has as many synapses afterwards as before, exactly; ties are broken at random. New synapses start at 0, and
    the optimizer remembers nothing of them. Synapses whose updates another mechanism has slowed or frozen stay. The
    gradient that counts is that of the step before; coactivations are of the passes since the last change.

    Args:
        drop: rules and the share that each would drop; what all of them would drop goes. Rules: magnitude,
            signed_magnitude, weighted_magnitude, coactivation, opposite, random.
        grow: rule for where: random, gradient, coactivation, opposite, cosine or ch3.
        every: optimizer steps from one change to the next; None: between epochs.
        until: share of a task's steps, or epochs, after which nothing changes any more.
        annealed: whether the shares fall with the cosine of the time that has gone by, to 0 at ``until``.
        again: whether a synapse may grow where one has just been dropped.
        update_interval: steps from one whose coactivations are counted to the next.

    Raises:
        ValueError: a rule is unknown, or a number out of range.
    """

    follows_units = False

    def __init__(
        self,
        drop: Annotated[
            dict[str, Annotated[float, Field(ge=0, le=1)]] | None,
            Field(description="Rule and share; what all rules would drop goes. null: {signed_magnitude: 0.3}."),
        ] = None,
        grow: Annotated[
            str, Field(description="Rule: random, gradient, coactivation, opposite, cosine or ch3.")
        ] = "random",
        every: Annotated[int | None, Field(ge=1, description="Steps between changes; null: between epochs.")] = None,
        until: Annotated[float, Field(ge=0, le=1, description="Share of a task in which synapses move.")] = 1.0,
        annealed: Annotated[bool, Field(description="Whether the shares fall to 0 until then.")] = False,
        again: Annotated[bool, Field(description="Whether a place just dropped may be taken again.")] = False,
        update_interval: Annotated[int, Field(ge=1, description="Steps between coactivations that count.")] = 1,
    ) -> None:
        self.drop = dict(_SET) if drop is None else dict(drop)
        for name, share in self.drop.items():
            if name not in DROP:
                raise ValueError(f"drop: unknown rule {name!r}{near(name, DROP)}")
            if not 0 <= share <= 1:
                raise ValueError(f"drop: {name}: a share is from 0 to 1, not {share}")
        if grow not in GROW:
            raise ValueError(f"grow: unknown rule {grow!r}{near(grow, GROW)}")
        if not 0 <= until <= 1 or update_interval < 1 or (every is not None and every < 1):
            raise ValueError(
                f"until must be from 0 to 1, every and update_interval at least 1, not {until}, {every} and "
                f"{update_interval}"
            )
        self.grow, self.every, self.until, self.annealed = grow, every, until, annealed
        self.again, self.update_interval = again, update_interval
        asked = {*self.drop, grow}
        self._by_gradient, self._by_coactivation = bool(asked & NEED_GRADIENT), bool(asked & NEED_COACTIVATION)
        self.needs = Needs.ALL if asked & (NEED_GRADIENT | NEED_COACTIVATION) or every else Needs.BOUNDARIES

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with the synapses as they are.

        Raises:
            ValueError: no layer is sparse; or one is of a kind that a rule cannot look at.
        """
        self.ledger, self.generator = ledger, generator
        layers = self._layers()
        if not layers:
            raise ValueError("no layer is sparse, so no place is free: sparse weights are needed")
        for found in layers.values():
            if self._by_gradient and found.stored == "live":
                raise ValueError(f"{found.layer} stores its live synapses only, and so their gradients: mask it")
            if self._by_coactivation and (found.stored == "live" or len(found.shape) != 2):
                raise ValueError(f"{found.layer}: coactivations are counted of masked linear layers only")
        self._watching: Coactivation | None = None
        if self._by_coactivation:
            known = list(ledger.synapses.values())
            modules = {found.inside: ledger.model.get_submodule(found.inside) for found in known}
            self._watching = Coactivation(modules, readers_of(known, ledger.consumers()), self.update_interval)
        self._ever = {name: _mask(found) for name, found in layers.items()}
        self._young: dict[str, Tensor] = {}  # what grew at the last change, bool (units, inputs)
        self._changes: list[dict[str, Any]] = []
        self._gradient: dict[str, Tensor] = {}
        self._step = self._steps = 0
        self._task = -1

    # -------------------- moments

    def before_task(self, task: int) -> None:
        """Begin to count its steps."""
        self._task, self._step, self._young = task, 0, {}
        if self._watching is not None:
            self._watching.reset()

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Change the connections, unless that is done between steps."""
        self._steps = epochs * steps
        if self.every is None and epoch:
            self._change(epoch / epochs)

    def after_step(self, step: Step) -> None:
        """Note gradient and coactivations; change the connections, if it is time."""
        self._step += 1
        if self._by_gradient:
            self._gradient = {name: own.grad for name, own in step.touched.items() if own.at is None}
        if self._watching is not None:
            self._watching.count()
        if self.every is not None and self._step % self.every == 0 and self._step < self._steps:
            self._change(self._step / self._steps)

    # -------------------- what they do

    def _change(self, gone_by: float) -> None:
        """Drop and grow in every layer, ``gone_by`` of the task's time having passed."""
        if gone_by > self.until or self.until == 0:
            return
        factor = 0.5 * (1 + math.cos(math.pi * gone_by / self.until)) if self.annealed else 1.0
        rules = {name: factor * share for name, share in self.drop.items()}
        with torch.no_grad():
            layers = {name: self._rewire(name, found, rules) for name, found in self._layers().items()}
        self._changes.append({"task": self._task, "time": gone_by, "layers": layers})
        if self._watching is not None:
            self._watching.reset()

    def _rewire(self, name: str, found: Synapses, rules: dict[str, float]) -> dict[str, float]:
        wiring = self._wiring(name, found)
        drop = dropped(wiring, rules)
        n = min(len(drop), int(wiring.free.sum()) + self.again * len(drop))
        drop = drop[:n]
        grow = GROW[self.grow](wiring.without(drop, self.again), n)
        self.ledger.rewire(found, drop, grow)
        live = _mask(found)
        self._ever[name] |= live
        young = self._young.get(name)
        survived = float((young & live).sum() / young.sum().clamp(min=1)) if young is not None else math.nan
        self._young[name] = torch.zeros_like(live)
        self._young[name][grow] = True
        return {
            "moved": n,
            "live": int(live.sum()),
            "survived": survived,
            "ever": float(self._ever[name].float().mean()),
        }

    def _wiring(self, name: str, found: Synapses) -> Wiring:
        scale, gradient, watched = self.ledger.steps.scale_of(name), self._gradient.get(name), self._watching
        wiring = wiring_of(found, self.generator)
        if scale is not None:
            wiring = replace(wiring, may_go=(found.of_live(scale) == 1).cpu())
        if self._by_gradient:  # a head of another task has none
            seen = torch.zeros(wiring.free.shape) if gradient is None else gradient.flatten(1).cpu()
            wiring = replace(wiring, gradient=seen)
        if watched is not None:
            counts = (watched.both, watched.units, watched.inputs)
            both, units, inputs = (count[found.inside].cpu() for count in counts)
            wiring = replace(wiring, coactivation=both, activity=(units, inputs))
        return wiring

    def _layers(self) -> dict[str, Synapses]:
        return {name: found for name, found in self.ledger.synapses.items() if found.stored in ("masked", "live")}

    # -------------------- results

    def statistics(self) -> dict[str, Any]:
        """Return, change by change (after which share of a task's time) and layer by layer, how many synapses moved and
        live, which share of those that grew at the change before is still there, and which share of all places has ever
        been alive (Liu et al. 2021)."""
        return {"changes": self._changes}

    @property
    def nbytes(self) -> int:
        """Bytes of what is counted."""
        counts = 0 if self._watching is None else sum(count.nbytes for count in self._watching.both.values())
        return counts + sum(mask.nbytes for mask in self._ever.values())

    def state_dict(self) -> dict[str, Any]:
        """Return the changes so far, and the places that have ever been alive."""
        return {"changes": self._changes, "ever": dict(self._ever)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them.

        Raises:
            ValueError: they are of other layers.
        """
        if {name: mask.shape for name, mask in state["ever"].items()} != {n: m.shape for n, m in self._ever.items()}:
            raise ValueError(f"what has been alive is of the layers {sorted(state['ever'])}")
        self._changes = list(state["changes"])
        self._ever = {name: mask.cpu() for name, mask in state["ever"].items()}

    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Forget what was of this task alone."""
        self._gradient, self._young = {}, {}


def _mask(found: Synapses) -> Tensor:
    """Return where a layer's synapses live, bool (units, inputs), on the CPU."""
    live = torch.zeros(found.shape[0], found.shape[1:].numel(), dtype=torch.bool)
    units, inputs = found.places()
    live[units.cpu(), inputs.cpu()] = True
    return live

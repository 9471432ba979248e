"""What rules of connectivity look at: gradients and coactivations, wherever a layer may grow."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.layers import SparseLinear
from cl_sparse.synapses.coactivation import Coactivation, Readers
from cl_sparse.synapses.connectivity_rules import (
    NEED_ACTIVITY,
    NEED_COACTIVATION,
    NEED_GRADIENT,
    Numbers,
    Wiring,
    wiring_of,
)
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.live_gradients import LiveGradients
from cl_sparse.synapses.passes import check_convolution, readers_of
from cl_sparse.synapses.step import Step
from cl_sparse.synapses.synapses import Synapses
from cl_sparse.wiring.places import draw_free


class Sight:
    """Gathers, from one change of the connections to the next, what rules ask for.

    Masked layers are looked at in all places, for which their weights have memory already. Layers that store their live
    synapses only are looked at where these live and at candidates: free places drawn at random, so many for each
    synapse that may grow. No more is computed or kept.

    Args:
        ledger: owns the synapses.
        drop: rules and their shares.
        grow: rule.
        candidates: for each synapse that may grow.
        reset: whether coactivations begin anew after a change.
        counting: how coactivations count, as :class:`Coactivation` takes it.
        generator: draws candidates.

    Raises:
        ValueError: a layer is of a kind that a rule cannot look at.
    """

    def __init__(
        self,
        ledger: Ledger,
        drop: Mapping[str, float],
        grow: str,
        candidates: int,
        reset: bool,
        counting: Mapping[str, Any],
        generator: torch.Generator,
    ) -> None:
        asked = {*drop, grow}
        self.ledger, self.grow, self.candidates, self.reset, self.generator = ledger, grow, candidates, reset, generator
        self._share = min((share for share in drop.values() if share), default=0.0)
        self._by_gradient = bool(asked & NEED_GRADIENT)
        self._masked: dict[str, Tensor] = {}  # gradients of masked layers, by the weight's name
        self._names: list[str] = []  # of these weights
        self.watching: Coactivation | None = None
        self.gradients: LiveGradients | None = None
        if asked & NEED_COACTIVATION:
            self._check()
            self.watching = Coactivation(*self._watched(), **counting, alone=bool(asked & NEED_ACTIVITY))
        if self._by_gradient:
            self.gradients = LiveGradients(self._live())

    def meet(self) -> None:
        """Look at the net's layers as they are now."""
        self._names = [name for name, found in self.layers().items() if found.stored == "masked"]
        if self.watching is not None:
            self.watching.meet(*self._watched())
        if self.gradients is not None:
            self.gradients.meet(self._live())

    def begin(self) -> None:
        """Let coactivations begin with 0, at new candidates, unless they go on over changes."""
        if self.watching is None or not self.reset:
            return
        self.watching.reset()
        for found in self.layers().values():
            if found.stored == "live":
                live = places_of(found)
                drawn = self._draw(found, live, self.candidates) if self.grow in NEED_COACTIVATION else live[:0]
                self.watching.look(found.inside, torch.cat([live, drawn]).sort().values)

    def step(self, step: Step, gradients: bool) -> None:
        """Look at a step that has been taken; at gradients of masked layers only if asked to."""
        if self._by_gradient and gradients:
            grads = {name: step.touched[name].grad for name in self._names if name in step.touched}
            self._masked = {name: grad.clone() for name, grad in grads.items()}  # zero_grad may set it to 0 in place
        if self.gradients is not None:
            self.gradients.step()
        if self.watching is not None:
            self.watching.count()

    def forget_gradients(self) -> None:
        """Forget those of the last step."""
        self._masked = {}
        if self.gradients is not None:
            self.gradients.forget()

    def wiring(self, name: str, found: Synapses) -> Wiring:
        """Return a layer as rules see it.

        Args:
            name: of its weight.
            found: its synapses.
        """
        free = None if found.stored == "masked" else self._free(found)
        wiring = wiring_of(found, self.generator, self.ledger.steps.scale_of(name), free)
        if self._by_gradient:
            wiring = replace(wiring, gradient=self._gradient(name, found, wiring))
        if self.watching is None:
            return wiring
        wiring = replace(wiring, coactivation=self._coactivation(self.watching, found, wiring))
        if self.watching.alone:
            activity = self.watching.units[found.inside].cpu(), self.watching.inputs[found.inside].cpu()
            wiring = replace(wiring, activity=activity)
        return wiring

    def layers(self) -> dict[str, Synapses]:
        """Return the layers that have free places, by the name of their weight."""
        return {name: found for name, found in self.ledger.synapses.items() if found.stored in ("masked", "live")}

    def remove(self) -> None:
        """Look at the net no longer."""
        for own in (self.watching, self.gradients):
            if own is not None:
                own.remove()

    @property
    def nbytes(self) -> int:
        """Bytes of what has been gathered."""
        kept = sum(own.nbytes for own in (self.watching, self.gradients) if own is not None)
        return kept + sum(gradient.nbytes for gradient in self._masked.values())

    def state_dict(self) -> dict[str, Any]:
        """Return what has been gathered."""
        gathered: dict[str, Any] = {"gradient": dict(self._masked)}
        if self.gradients is not None:
            gathered["live gradients"] = self.gradients.state_dict()
        if self.watching is not None:
            gathered["coactivation"] = self.watching.state_dict()
        return gathered

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it.

        Raises:
            ValueError: it is of other layers.
        """
        self._masked = dict(state["gradient"])
        if self.gradients is not None:
            self.gradients.load_state_dict(state.get("live gradients", {}))
        if self.watching is not None:
            self.watching.load_state_dict(state["coactivation"])

    # -------------------- layers

    def _check(self) -> None:
        for found in self.layers().values():
            check_convolution(found.layer, self.ledger.model.get_submodule(found.inside))
            if found.stored == "live" and not self.reset:
                raise ValueError(
                    f"{found.layer} stores its live synapses only: coactivations are counted at candidates that are "
                    "drawn anew after each change, and cannot go on over it (reset)"
                )

    def _watched(self) -> tuple[dict[str, nn.Module], Readers]:
        """Return the layers whose coactivations count, and who reads their units."""
        known = list(self.ledger.synapses.values())
        modules = {found.inside: self.ledger.model.get_submodule(found.inside) for found in known}
        linear = {name: module for name, module in modules.items() if isinstance(module, nn.Linear | SparseLinear)}
        readers = readers_of(known, self.ledger.consumers())
        layers = [found.inside for found in self.layers().values()]
        return (
            {name: modules[name] for name in layers},
            {name: {own: linear[own] for own in readers.get(name, ()) if own in linear} for name in layers},
        )

    def _live(self) -> dict[str, SparseLinear]:
        found = self.layers().values()
        return {own.inside: own.module for own in found if isinstance(own.module, SparseLinear)}

    # -------------------- places

    def _draw(self, found: Synapses, live: Tensor, each: int) -> Tensor:
        """Draw free places of a layer, so many for each synapse that may grow at a change, long, sorted."""
        most = min(len(live), math.ceil(self._share * len(live)) + 1)  # by sign, shares are rounded twice
        return draw_free(live, found.positions, min(found.positions - len(live), each * most), self.generator)

    def _free(self, found: Synapses) -> Tensor:
        """Return where a layer that stores its live synapses only may grow, long, sorted."""
        live = places_of(found)
        if self.grow == "ch3":  # of which all scores are known
            return draw_free(live, found.positions, None)
        if self.grow in NEED_COACTIVATION and self.watching is not None:
            known = self.watching.looked_at[found.inside]
            return known[~torch.isin(known, live)]
        return self._draw(found, live, self.candidates if self._by_gradient else 1)

    def _gradient(self, name: str, found: Synapses, wiring: Wiring) -> Numbers:
        if found.stored == "live" and self.gradients is not None:
            n = len(wiring.places)
            both = self.gradients.at(found.inside, torch.cat([wiring.places, wiring.free]))
            return Numbers(both[:n], both[n:])
        known = self._masked.get(name)  # a head of another task has none
        return wiring.pick(torch.zeros(wiring.shape) if known is None else known.flatten(1).cpu())

    def _coactivation(self, watching: Coactivation, found: Synapses, wiring: Wiring) -> Numbers:
        both = watching.both[found.inside].cpu()
        if found.stored == "masked":
            return wiring.pick(both)
        known = watching.looked_at[found.inside]
        return Numbers(*(_looked_up(both, known, places) for places in (wiring.places, wiring.free)))


def places_of(found: Synapses) -> Tensor:
    """Return the place unit·inputs + input of each live synapse of a layer, long (n_live,), on the CPU."""
    units, inputs = found.places()
    return (units * found.shape[1:].numel() + inputs).cpu()


def _looked_up(numbers: Tensor, known: Tensor, places: Tensor) -> Tensor:
    """Return the numbers of ``known`` places, sorted, at other ones; 0 at those that are not among them."""
    if not len(known):
        return torch.zeros(len(places))
    at = torch.searchsorted(known, places).clamp(max=len(known) - 1)
    return torch.where(known[at] == places, numbers[at], 0.0)

"""Connections that come and go while a net is trained."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.config.wording import near
from cl_sparse.synapses.connectivity_rules import DROP, GROW, NEED_COACTIVATION, NEED_GRADIENT, Wiring, dropped
from cl_sparse.synapses.connectivity_schedule import Schedule
from cl_sparse.synapses.connectivity_sight import Sight
from cl_sparse.synapses.ever_alive import EverAlive
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
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

    A layer has as many synapses afterwards as before, exactly; ties are broken at random. Where fewer places are free
    than synapses would go, only as many go, any of them. The optimizer remembers nothing of new synapses. Synapses
    whose updates another mechanism has slowed or frozen stay, and so do those of a layer that no step has trained since
    the last change, as other tasks' heads. The gradient that counts is that of the step before; coactivations are of
    the passes since the last change (see ``Coactivation``). A layer may stop until the next task: once, over ``window``
    changes, the mean share of what grew at one change that is still there after the next is below ``stop_below``.

    Args:
        drop: rules and the share that each would drop; what all of them would drop goes. Rules: magnitude,
            signed_magnitude, weighted_magnitude, coactivation, opposite, random.
        grow: rule for where: random, gradient, coactivation, opposite, cosine or ch3.
        every: optimizer steps from one change to the next; None: between epochs; "task": when a later task begins.
        begin: share of a task's steps, or epochs, before which nothing changes.
        until: share of them after which nothing changes any more.
        annealed: whether the shares fall with the cosine of the time that has gone by, to 0 at ``until``.
        again: whether a synapse may grow where one has just been dropped.
        initial: weights of new synapses: "zero", or "drawn", uniform in ±1/√(live inputs of the unit), as at the start.
        stop_below: mean survival below which a layer stops changing; None: none does.
        window: changes over which that is judged.
        binary: whether coactivations count activities above 0, or sum their products.
        moving_average: α of a moving average of coactivations over steps, in place of their sum; None: the sum.
        reset: whether coactivations begin anew after a change.
        update_interval: steps from one whose coactivations are counted to the next.
        candidates: of layers that store their live synapses only, the free places looked at for each synapse that may
            grow, drawn anew after each change: gradients and coactivations are of these and of live ones, and no other
            is computed. (ch3 looks at all.)

    Raises:
        ValueError: a rule is unknown, a number out of range, or coactivations would begin anew before any is counted.
    """

    follows_units = False
    sight: Sight

    def __init__(
        self,
        drop: Annotated[
            dict[str, Annotated[float, Field(ge=0, le=1)]] | None,
            Field(description="Rule and share; what all rules would drop goes. null: {signed_magnitude: 0.3}."),
        ] = None,
        grow: Annotated[
            str, Field(description="Rule: random, gradient, coactivation, opposite, cosine or ch3.")
        ] = "random",
        every: Annotated[
            Annotated[int, Field(ge=1)] | Literal["task"] | None,
            Field(description="Steps between changes; null: between epochs; task: when a later task begins."),
        ] = None,
        begin: Annotated[float, Field(ge=0, le=1, description="Share of a task before which none moves.")] = 0.0,
        until: Annotated[float, Field(ge=0, le=1, description="Share of a task in which synapses move.")] = 1.0,
        annealed: Annotated[bool, Field(description="Whether the shares fall to 0 until then.")] = False,
        again: Annotated[bool, Field(description="Whether a place just dropped may be taken again.")] = False,
        initial: Annotated[
            Literal["zero", "drawn"], Field(description="Weights of new synapses: zero, or drawn as at the start.")
        ] = "zero",
        stop_below: Annotated[
            float | None, Field(ge=0, le=1, description="Mean survival below which a layer stops; null: none does.")
        ] = None,
        window: Annotated[int, Field(ge=1, description="Changes over which that is judged.")] = 6,
        binary: Annotated[bool, Field(description="Coactivations of activities above 0, not of their values.")] = True,
        moving_average: Annotated[
            float | None, Field(gt=0, le=1, description="Rate of a moving average of coactivations; null: their sum.")
        ] = None,
        reset: Annotated[bool, Field(description="Whether coactivations begin anew after a change.")] = True,
        update_interval: Annotated[int, Field(ge=1, description="Steps between coactivations that count.")] = 1,
        candidates: Annotated[
            int, Field(ge=1, description="Places looked at per synapse to grow, of layers that store live ones only.")
        ] = 10,
    ) -> None:
        drop = _SET if drop is None else drop
        _check_rules(drop, grow, initial)
        self.drop = dict(drop)
        if update_interval < 1 or not (moving_average is None or 0 < moving_average <= 1):
            raise ValueError(
                "update_interval must be at least 1, moving_average above 0 and at most 1, not "
                f"{update_interval} and {moving_average}"
            )
        self.schedule = Schedule(every, begin, until, annealed, stop_below, window)
        if reset and isinstance(every, int) and update_interval > every:
            raise ValueError(
                f"every {every} steps synapses move and coactivations begin anew, before the {update_interval} steps "
                "of update_interval have gone by: reset=False, or count more often"
            )
        if candidates < 1:
            raise ValueError(f"candidates must be at least 1, not {candidates}")
        self.candidates = candidates
        self.grow, self.again, self.initial, self.reset = grow, again, initial, reset
        asked = {*self.drop, grow}
        self._counting: dict[str, Any] = {"every": update_interval, "binary": binary, "moving_average": moving_average}
        self._by_task = every == "task"
        by_step = bool(asked & (NEED_GRADIENT | NEED_COACTIVATION)) or isinstance(every, int)
        self.needs = Needs.ALL if by_step else Needs.TOUCHED
        self.looks_at_steps = bool(asked & NEED_GRADIENT)

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with the synapses as they are.

        Raises:
            ValueError: no layer is sparse; or one is of a kind that a rule cannot look at.
        """
        self.ledger, self.generator = ledger, generator
        found = ledger.synapses.items()
        layers = {name: own for name, own in found if own.stored in ("masked", "live")}
        if not layers:
            raise ValueError("no layer is sparse, so no place is free: sparse weights are needed")
        self.sight = Sight(ledger, self.drop, self.grow, self.candidates, self.reset, self._counting, generator)
        self._ever = EverAlive(layers)
        self._changes: list[dict[str, Any]] = []
        self._untrained: dict[str, Tensor] = {}  # weights that no step has trained since the last change, by name
        self._any_trained = False
        self._step = self._steps = 0
        self._task = -1

    # -------------------- moments

    def before_task(self, task: int) -> None:
        """Begin to count its steps; change the connections, if that is done between tasks."""
        self._task, self._step = task, 0
        self.sight.meet()
        if self._by_task and task:
            self._change(0.0)
            return
        self._ever.young = {}
        self._begin()

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Change the connections, unless that is done between steps."""
        self._steps = epochs * steps
        if self.schedule.every is None and epoch:
            self._change(epoch / epochs)

    def after_step(self, step: Step) -> None:
        """Note gradient and coactivations; change the connections, if it is time."""
        self._step += 1
        self._note_trained()
        every = self.schedule.every
        due = isinstance(every, int) and self._step % every == 0 and self._step < self._steps
        self.sight.step(step, gradients=due or not isinstance(every, int))
        if isinstance(every, int) and not self._steps:
            raise ValueError(
                f"every {every} steps up to which one? ledger.before_epoch(epoch, epochs, steps) has to be called"
            )
        if due:
            self._change(self._step / self._steps)

    def _note_trained(self) -> None:
        """Note which layers a step has trained: heads of other tasks have no gradient, or one of 0."""
        for name, weight in list(self._untrained.items()):
            if weight.grad is not None and bool(weight.grad.any()):
                del self._untrained[name]
                self._any_trained = True

    # -------------------- what they do

    def _change(self, gone_by: float) -> None:
        """Drop and grow in every layer, ``gone_by`` of the task's time having passed."""
        factor = self.schedule.factor(gone_by)
        if not factor:
            return
        rules = {name: factor * share for name, share in self.drop.items()}
        with torch.no_grad():
            layers = {
                name: self._rewire(name, found, {} if self._idle(name) or self._stopped(name) else rules)
                for name, found in self.sight.layers().items()
            }
        self._changes.append({"task": self._task, "time": gone_by, "layers": layers})
        self._begin()

    def _begin(self) -> None:
        """Look at what comes until the next change."""
        self._untrained = {name: found.parameter for name, found in self.sight.layers().items()}
        self._any_trained = False
        self.sight.begin()

    def _idle(self, name: str) -> bool:
        """Return whether others have been trained since the last change, and a layer has not, as other tasks' heads."""
        return self._any_trained and name in self._untrained

    def _stopped(self, name: str) -> bool:
        """Return whether so little of what grew in a layer has survived that it is to stay as it is."""
        changes = (own["layers"] for own in self._changes if self._by_task or own["task"] == self._task)
        return self.schedule.done(own[name]["survived"] for own in changes if name in own)

    def _rewire(self, name: str, found: Synapses, rules: dict[str, float]) -> dict[str, float]:
        wiring = self.sight.wiring(name, found)
        drop = dropped(wiring, rules)
        n = min(len(drop), len(wiring.free) + self.again * len(drop))
        if n < len(drop):
            drop = drop[torch.randperm(len(drop), generator=self.generator)[:n]]
        left = wiring.without(drop, self.again)
        grow = GROW[self.grow](left, n)
        self.ledger.rewire(found, drop, grow, self._values(left, grow))
        changed = self._ever.changed(name, found, grow[0] * wiring.shape[1] + grow[1])
        return {"moved": n, **changed, **self._coactivations(wiring, found)}

    def _coactivations(self, wiring: Wiring, found: Synapses) -> dict[str, float]:
        """Return the mean coactivation of all places and of live ones; where candidates were looked at, by these."""
        if wiring.coactivation is None:
            return {}
        live, free = wiring.coactivation.live, wiring.coactivation.free
        means = {"coactivation_live": float(live.mean())}
        if len(free) or len(live) == found.positions:
            of_free = float(free.mean()) if len(free) else 0.0
            share = len(live) / max(1, found.positions)
            means["coactivation"] = share * means["coactivation_live"] + (1 - share) * of_free
        return means

    def _values(self, left: Wiring, grown: tuple[Tensor, Tensor]) -> Tensor | None:
        """Return the weights of new synapses in what has been left of a layer; None for zeros."""
        if self.initial == "zero":
            return None
        live_inputs = torch.bincount(torch.cat([left.units, grown[0]]), minlength=left.shape[0])
        drawn = torch.rand(len(grown[0]), generator=self.generator, dtype=left.weights.dtype)
        return (2 * drawn - 1) * live_inputs[grown[0]].rsqrt()

    def let_go(self) -> None:
        """Watch the net no longer."""
        self.sight.remove()

    # -------------------- results

    def statistics(self) -> dict[str, Any]:
        """Return, change by change (after which share of a task's time) and layer by layer, how many synapses moved and
        live, which share of those that grew at the change before is still there, which share of all places has ever
        been alive (Liu et al. 2021), and the mean coactivation before the change, of all places and of live ones."""
        return {"changes": self._changes}

    @property
    def nbytes(self) -> int:
        """Bytes of what is counted."""
        return self.sight.nbytes + self._ever.nbytes

    def state_dict(self) -> dict[str, Any]:
        """Return the changes so far, what is counted since the last, and the places that have ever been alive."""
        return {
            "changes": self._changes,
            "trained": sorted(self.sight.layers().keys() - self._untrained.keys()),
            "time": (self._task, self._step, self._steps),
            **self._ever.state_dict(),
            **self.sight.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them.

        Raises:
            ValueError: they are of other layers.
        """
        self._ever.load_state_dict(state)
        self._changes = list(state["changes"])
        if "time" in state:  # as it is not in checkpoints of earlier versions, made between tasks
            self.sight.load_state_dict(state)
            trained = set(state.get("trained", ()))
            layers = self.sight.layers().items()
            self._untrained = {name: found.parameter for name, found in layers if name not in trained}
            self._any_trained = bool(trained)
            self._task, self._step, self._steps = state["time"]

    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Forget what was of this task alone, unless connections change between tasks."""
        if not self._by_task:
            self.sight.forget_gradients()
            self._ever.young = {}


def _check_rules(drop: dict[str, float], grow: str, initial: str) -> None:
    if not isinstance(drop, Mapping):
        raise ValueError(f"drop: rules and their shares are needed, as in {_SET}, not {drop!r}")
    for name, share in drop.items():
        if name not in DROP:
            raise ValueError(f"drop: unknown rule {name!r}{near(name, DROP)}")
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(f"drop: {name}: a share is from 0 to 1, not {share!r}")
    if not isinstance(grow, str) or grow not in GROW:
        raise ValueError(f"grow: unknown rule {grow!r}{near(grow, GROW)}")
    if initial not in ("zero", "drawn"):
        raise ValueError(f"initial must be zero or drawn, not {initial!r}")

"""The one owner of what follows a synapse: it alone rewires and resizes, and carries every number along."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.layers import KWinnersBase
from cl_sparse.layers.consumers import Consumers, consumers_in
from cl_sparse.seeding import derive_seed
from cl_sparse.synapses.followers import carry_optimizer, check_followed, resume_optimizer, settle
from cl_sparse.synapses.kept import Kept
from cl_sparse.synapses.lazy_sgd import LazySGD
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.resize import Changes, Resizing, weight_shape
from cl_sparse.synapses.rewire import Places, rewire
from cl_sparse.synapses.step import StepHooks
from cl_sparse.synapses.structure import rebuild, structure_of
from cl_sparse.synapses.synapses import Synapses, synapses_of
from cl_sparse.wiring.moved import Moved

Listener = Callable[[Changes], None]


class Ledger:
    """Owns every number that belongs to a synapse: weights, the optimizer's, importances, each mechanism's own.

    Args:
        model: the net. To be resized it needs a method ``consumers() -> {layer: Consumers}``, or to be a chain
            (``nn.Sequential``).
        optimizer: what trains it, if anything does; its numbers follow.
        seed: what mechanisms draw derives from it, from their names and from the task.

    A net has one ledger: a second one that keeps numbers or moves synapses is refused while the first one lives,
    unless it was told to :meth:`let_go`. A copy made together with net and optimizer is the copies' ledger.

    Attributes:
        mechanisms: by name, those that :meth:`attach` was given.
        listeners: called after every change with what changed; probes are told here.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | None = None, seed: int = 0) -> None:
        self.model = model
        self.optimizer = optimizer
        self.seed = seed
        self.mechanisms: dict[str, Mechanism] = {}
        self._needs: dict[str, Needs] = {}  # theirs: in a copy under way, they themselves may be empty still
        self._looking: set[str] = set()  # those that look at what a step touched
        self.listeners: list[Listener] = []
        self.resizings = 0  # so far: new units are drawn anew each time
        self._kept: dict[tuple[str, str], Kept] = {}
        self._generators: dict[str, torch.Generator] = {}
        self.steps = StepHooks(self)

    def let_go(self) -> None:
        """Neither watch nor scale steps any longer; another ledger may own the net's synapses."""
        self.steps.remove()
        if isinstance(self.optimizer, LazySGD):
            self.optimizer.scale_updates({})
        if _owner_of(self.model) is self:
            del _OWNERS[self.model]

    def _own(self) -> None:
        if _owner_of(self.model) is not None and _owner_of(self.model) is not self:
            gc.collect()  # a ledger that nobody holds any more may wait for this
        owner = _owner_of(self.model)
        if owner is None:
            _OWNERS[self.model] = weakref.ref(self)
        elif owner is not self:
            raise ValueError("the net's synapses have a ledger already: use that one, or tell it to let_go()")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become the ledger of a copied net, and of its optimizer."""
        self.__dict__.update(state)
        if (self._needs or self._kept) and _owner_of(self.model) is None:
            self._own()
        self.steps.refresh()

    # -------------------- numbers

    @property
    def synapses(self) -> dict[str, Synapses]:
        """The synapses of each weight layer, by the name of its weight in ``model.named_parameters()``."""
        return {found.name: found for found in synapses_of(self.model)}

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return all parameters by name, as they are stored: rows that an optimizer put off stay behind."""
        return {f"{name}.{own}" if name else own: p for name, own, p in _parameters(self.model)}

    def current(self) -> dict[str, Tensor]:
        """Return the values of all parameters by name, up to date, without gradient."""
        values = {name: parameter.detach() for name, parameter in self.parameters().items()}
        return values | {name: found.current() for name, found in self.synapses.items()}

    def keep(self, owner: str, key: str, fresh: float = 0.0) -> dict[str, Tensor]:
        """Return a number for each entry of each parameter, by name, that follows it from now on.

        Those of a weight are its synapses'. They have the parameter's shape, memory layout, type and device. The
        mapping stays the same object; the tensors in it are replaced when synapses move, so look them up anew. Asked
        again, it is returned as it is.

        Args:
            owner: whose they are.
            key: what they are.
            fresh: what they are at first, and what a new synapse gets.
        """
        self._own()
        kept = self._kept.get((owner, key))
        if kept is None:
            numbers = {name: torch.full_like(p, fresh, requires_grad=False) for name, p in self.parameters().items()}
            kept = self._kept[owner, key] = Kept(fresh, numbers)
        kept.fresh = fresh
        return kept.numbers

    def forget(self, owner: str, key: str | None = None) -> None:
        """Drop the numbers ``key`` of an owner, or all."""
        dropped = {known for known in self._kept if known[0] == owner and key in (None, known[1])}
        self._kept = {known: kept for known, kept in self._kept.items() if known not in dropped}

    def learning_rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter that the optimizer has, by name, as it is now."""
        groups = [] if self.optimizer is None else self.optimizer.param_groups
        rates = {id(parameter): float(group["lr"]) for group in groups for parameter in group["params"]}
        return {name: rates[id(p)] for name, p in self.parameters().items() if id(p) in rates}

    @torch.no_grad()
    def pull(self, name: str, towards: Tensor, share: Tensor) -> None:
        """Move a parameter a share of the way to other values, as far as update scales let it: w += s·share·(v − w).

        Args:
            name: of the parameter.
            towards: v, in its shape.
            share: 0 to 1, in its shape.
        """
        scale = self.steps.scale_of(name)
        self.parameters()[name].lerp_(towards, share if scale is None else share * scale)

    @property
    def nbytes(self) -> int:
        """Bytes of all numbers that mechanisms keep, per synapse or not, without weights and the optimizer's."""
        per_synapse = sum(tensor.nbytes for kept in self._kept.values() for tensor in kept.numbers.values())
        return per_synapse + sum(mechanism.nbytes for mechanism in self.mechanisms.values())

    # -------------------- changes

    def rewire(self, synapses: Synapses, drop: Tensor, grow: Places, values: Tensor | None = None) -> Moved:
        """Drop and grow synapses; the optimizer's and all owners' numbers follow.

        Args:
            synapses: of a layer that is masked, or stores its live synapses.
            drop: long (d,), positions in the order of ``synapses.places()``.
            grow: unit and input of each new synapse, long (g,) each. A place that ``drop`` frees may be taken.
            values: weights of the new synapses (g,); default 0.

        Raises:
            ValueError: as :func:`cl_sparse.synapses.rewire.rewire`; nothing has changed then.
        """
        self._own()
        check_followed(self.optimizer)
        shape = synapses.parameter.shape
        moved = rewire(synapses, drop, grow, values)
        self._follow({synapses.name: (shape, moved)})
        return moved

    def resize(self, layer: str, keep: Tensor, add: int = 0, generator: torch.Generator | None = None) -> Changes:
        """Remove and add units of a layer: rows, biases, duty cycles, normalisation, the inputs of what reads them.

        Args:
            layer: name of the layer.
            keep: long (m,), the units that stay, in their new order.
            add: number of new units behind them; what reads them starts at 0, so that without k-winners and
                normalisation over units the outputs do not change.
            generator: draws their weights; default: one that derives from the ledger's seed.

        Returns:
            What changed, by the name of each parameter and buffer, and of the layer.

        Raises:
            ValueError: it is not known who consumes the layer's units, or ``keep`` is out of range or repeats a unit.
        """
        self._own()
        consumers = self.consumers().get(layer)
        if consumers is None:
            raise ValueError(f"{layer}: not known who reads its units: its model's consumers() has to say")
        keep = torch.as_tensor(keep).cpu()
        _check_kept(keep, add, weight_shape(self.model.get_submodule(layer))[0])
        check_followed(self.optimizer)
        drawn = generator or torch.Generator().manual_seed(derive_seed(self.seed, "resize", layer, self.resizings))
        resizing = Resizing(self.model, layer, consumers, keep, add, drawn)
        self.resizings += 1
        settle(self.optimizer)
        changes = resizing.carry_out()
        self._follow(changes)
        resume_optimizer(self.optimizer)
        return changes

    def consumers(self) -> dict[str, Consumers]:
        """Return, by name of each layer whose readers are known, who consumes its units."""
        return consumers_in(self.model)

    def _follow(self, changes: Changes) -> None:
        parameters = self.parameters()
        for name, (shape, moved) in changes.items():
            if name in parameters:
                carry_optimizer(self.optimizer, parameters[name], shape, moved)
                for kept in self._kept.values():
                    kept.numbers[name] = moved.carry(kept.numbers[name], kept.fresh)
        self.steps.follow(changes)
        self.steps.refresh()
        for listener in self.listeners:
            listener(changes)

    # -------------------- mechanisms

    def attach(self, mechanism: Mechanism, name: str | None = None) -> None:
        """Let a mechanism take part from now on, under a name of its own (default: its class's).

        Raises:
            ValueError: the name is taken, or the mechanism needs what the net does not give.
        """
        name = name or type(mechanism).__name__
        if mechanism.needs is Needs.ALL and any(found.stored == "winner" for found in self.synapses.values()):
            raise ValueError(
                f"{name} needs all weights and gradients at every step, and layers that compute only what wins do not "
                "give them: build the net with compute: reference"
            )
        if name in self.mechanisms:
            raise ValueError(f"there is a mechanism {name!r} already: give this one another name")
        _check_follows({**self.mechanisms, name: mechanism})
        if mechanism.fractional and isinstance(self.optimizer, LazySGD):
            self.optimizer.check_fractional()
        self._own()
        self.mechanisms[name] = mechanism
        self._generators[name] = torch.Generator()
        mechanism.name = name
        mechanism.attach(self, self._generators[name])
        self._needs[name] = mechanism.needs
        if mechanism.looks_at_steps and mechanism.needs >= Needs.TOUCHED:
            self._looking.add(name)
        self.steps.refresh()

    def before_task(
        self,
        task: int,
        batches: Iterable[tuple[Tensor, ...]] = (),
        held_out: Iterable[tuple[Tensor, ...]] = (),
    ) -> None:
        """Tell the mechanisms that training on task number ``task`` begins.

        Parameters that the net has gained since get fresh numbers. One that was put in place of another of the same
        name takes over its numbers; units (rows) that it has besides get fresh ones.

        Args:
            task: its number.
            batches: its training data, ``(x, y, ...)``, for mechanisms that look at them before they are trained on.
            held_out: data of the task that are not trained on, for mechanisms that measure something.

        Raises:
            ValueError: a parameter has changed its shape otherwise.
        """
        self._meet_the_net()
        for name, mechanism in self.mechanisms.items():
            self._generators[name].manual_seed(derive_seed(self.seed, "mechanism", name, task))
            mechanism.see_task(task, batches)
            mechanism.see_held_out(task, held_out)
            mechanism.before_task(task)

    def _meet_the_net(self) -> None:
        parameters = self.parameters()
        met = {key: kept.meet(parameters) for key, kept in self._kept.items()}
        for key, numbers in met.items():
            self._kept[key].numbers.clear()
            self._kept[key].numbers.update(numbers)
        self.steps.refresh()

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Tell the mechanisms that pass number ``epoch`` of ``epochs`` over the task's data begins, of ``steps``
        steps."""
        for mechanism in self.mechanisms.values():
            mechanism.before_epoch(epoch, epochs, steps)

    def after_epoch(self) -> None:
        """Tell the mechanisms that the pass over the task's data has ended."""
        for mechanism in self.mechanisms.values():
            mechanism.after_epoch()

    def penalty(self) -> Tensor | float:
        """Return what the mechanisms add to the loss; 0.0 if nothing."""
        return sum((mechanism.penalty() for mechanism in self.mechanisms.values()), start=0.0)

    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]] = ()) -> None:
        """Tell the mechanisms that training on task number ``task`` has ended.

        Args:
            task: its number.
            batches: its training data once more, ``(x, y, ...)``; a mechanism that needs none does not look at them.
        """
        for mechanism in self.mechanisms.values():
            mechanism.after_task(task, batches)

    @property
    def needs(self) -> Needs:
        """What the most demanding mechanism needs."""
        return max(self._needs.values(), default=Needs.NOTHING)

    @property
    def looks_at_steps(self) -> bool:
        """Whether a mechanism looks at what a step touched."""
        return bool(self._looking)

    # -------------------- resume

    def structure(self) -> dict[str, Any]:
        """Return what :meth:`rebuild` needs to give a fresh net this one's widths, in plain Python."""
        return structure_of(self.model)

    def rebuild(self, structure: dict[str, Any]) -> None:
        """Give the net the widths it had when :meth:`structure` was asked. Weights have to be loaded afterwards.

        Raises:
            ValueError: the structure belongs to another architecture.
        """
        settle(self.optimizer)
        rebuild(self.model, structure)
        parameters = self.parameters()
        for kept in self._kept.values():
            kept.numbers.update({name: torch.full_like(p, kept.fresh) for name, p in parameters.items()})
        self.steps.refresh()
        resume_optimizer(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Return all kept numbers and the mechanisms' own state: tensors, plain values, lists and dicts of these."""
        return {
            "numbers": [[owner, key, dict(kept.numbers)] for (owner, key), kept in self._kept.items()],
            "resizings": self.resizings,
            "samples seen": {name: layer.learning_iterations for name, layer in self._k_winners()},
            "mechanisms": {name: mechanism.state_dict() for name, mechanism in self.mechanisms.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; the net has its widths and weights already.

        Raises:
            ValueError: it is the state of other mechanisms, or of a net of another shape.
        """
        if state["mechanisms"].keys() != self.mechanisms.keys():
            raise ValueError(f"the state is of {sorted(state['mechanisms'])}, not of {sorted(self.mechanisms)}")
        shapes = {name: parameter.shape for name, parameter in self.parameters().items()}
        for owner, key, numbers in state["numbers"]:
            if {name: tensor.shape for name, tensor in numbers.items()} != shapes:
                raise ValueError(f"{owner}: the numbers {key!r} are of a net of another shape")
        if dict(self._k_winners()).keys() != state["samples seen"].keys():
            raise ValueError(f"the state is of a net with the k-winners {sorted(state['samples seen'])}")
        self.resizings = state["resizings"]
        for name, layer in self._k_winners():
            layer.learning_iterations = state["samples seen"][name]
        for owner, key, numbers in state["numbers"]:
            known = self._kept.get((owner, key))
            mine = self.keep(owner, key, known.fresh if known is not None else 0.0)
            mine.update({name: torch.empty_like(mine[name]).copy_(tensor) for name, tensor in numbers.items()})
        for name, mechanism in self.mechanisms.items():
            mechanism.load_state_dict(state["mechanisms"][name])
        self.steps.refresh()

    def _k_winners(self) -> Iterator[tuple[str, KWinnersBase]]:
        return ((name, layer) for name, layer in self.model.named_modules() if isinstance(layer, KWinnersBase))


_OWNERS: weakref.WeakKeyDictionary[nn.Module, weakref.ref[Ledger]] = weakref.WeakKeyDictionary()


def _owner_of(model: nn.Module) -> Ledger | None:
    """Return the ledger that lives and owns the synapses of a net."""
    known = _OWNERS.get(model)
    return None if known is None else known()


def _check_follows(mechanisms: dict[str, Mechanism]) -> None:
    resizing = [name for name, mechanism in mechanisms.items() if mechanism.resizes]
    fixed = [name for name, mechanism in mechanisms.items() if not mechanism.follows_units]
    if resizing and fixed:
        raise ValueError(f"{resizing[0]} removes or adds units, which {fixed[0]} cannot follow: choose one of the two")


def _check_kept(keep: Tensor, add: int, units: int) -> None:
    if keep.dtype != torch.long or keep.dim() != 1 or add < 0 or len(keep) + add == 0:
        raise ValueError("keep must be a row of long integers, add at least 0, and a unit must be left")
    if len(keep) and (not 0 <= int(keep.min()) <= int(keep.max()) < units or int(torch.bincount(keep).max()) > 1):
        raise ValueError(f"keep: units go from 0 to {units - 1}, and each may be there once")


def _parameters(model: nn.Module) -> Iterable[tuple[str, str, nn.Parameter]]:
    seen: set[nn.Parameter] = set()
    for name, module in model.named_modules():
        for own, parameter in module._parameters.items():
            if parameter is not None and parameter not in seen:
                seen.add(parameter)
                yield name, own, parameter

"""What an optimizer step did to the synapses, and how much of it was let through."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cl_sparse.layers.active_linear import InputMajorWeight
from cl_sparse.synapses.lazy_sgd import LazySGD, scale_change
from cl_sparse.synapses.mechanism import Needs
from cl_sparse.synapses.resize import Changes
from cl_sparse.wiring.moved import Moved

if TYPE_CHECKING:
    from cl_sparse.synapses.ledger import Ledger

Index = tuple[Tensor, ...]


@dataclass(frozen=True)
class Touched:
    """The part of a parameter that took part in a step.

    Attributes:
        at: index of the entries: (unit, input), long (e,) each; or (unit,), long (e,), for whole units, that is, rows;
            None for all entries. Layers that compute only what wins name an entry once for each sample that used it.
        grad: their gradients, in the shape of ``parameter[at]``; those of a repeated entry add up.
        change: what the step changed them by; a repeated entry has the whole change each time.
        now: their values after the step.
    """

    at: Index | None
    grad: Tensor
    change: Tensor
    now: Tensor

    def add(self, numbers: Tensor, terms: Tensor) -> None:
        """Add ``terms``, in the shape of ``grad``, to ``numbers`` (in the shape of the parameter), in place.

        Terms of a repeated entry add up, as they must for what is linear in the gradient.
        """
        if self.at is None:
            numbers.add_(terms)
        else:
            numbers.index_put_(self.at, terms, accumulate=True)

    def add_fall(self, path: Tensor) -> None:
        """Add to ``path``, in the shape of the parameter, each entry's part of the fall of the loss, −g·Δw."""
        if self.at is None:
            path.addcmul_(self.grad, self.change, value=-1)
        else:
            self.add(path, self.grad * -self.change)

    def once(self) -> Touched:
        """Return the same with each entry there once and its gradients summed: for counts, signs and largest values."""
        if self.at is None:
            return self
        at, number = torch.unique(torch.stack(self.at), dim=1, return_inverse=True)
        grad = self.grad.new_zeros(at.shape[1], *self.grad.shape[1:]).index_add_(0, number, self.grad)
        first = number.new_empty(at.shape[1]).index_copy_(0, number, torch.arange(len(number), device=number.device))
        return Touched(tuple(at), grad, self.change[first], self.now[first])

    def follow(self, moved: Moved) -> Touched:
        """Return the same after a rewiring or resizing; entries that were named one by one are nobody's then."""
        if self.at is None:
            return Touched(None, *(moved.carry(numbers) for numbers in (self.grad, self.change, self.now)))
        return Touched(tuple(ids[:0] for ids in self.at), self.grad[:0], self.change[:0], self.now[:0])


@dataclass
class Step:
    """One optimizer step.

    Attributes:
        touched: by the parameter's name; parameters without gradient are not in it.
    """

    touched: dict[str, Touched] = field(default_factory=dict)


class StepHooks:
    """Watches an optimizer's steps for a ledger's mechanisms, and scales the updates that are to be scaled.

    One snapshot of a parameter serves both. Nothing is hooked while nobody asks.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.scales: list[dict[str, Tensor]] = []
        self._product: dict[str, Tensor] = {}
        self._before: dict[str, _Before] = {}
        self._step: Step | None = None
        self._names: dict[str, nn.Parameter] = {}
        self._hooks: list[Any] = []

    @property
    def told(self) -> bool:
        """Whether a mechanism wants to hear of steps."""
        return self.ledger.needs >= Needs.TOUCHED

    @property
    def watched(self) -> bool:
        """Whether one wants to see what a step changed."""
        return self.ledger.looks_at_steps

    def refresh(self) -> None:
        """Look anew at what there is to watch and to scale; to be called when either, or any shape, has changed."""
        optimizer = self.ledger.optimizer
        self._product = self._all_scales()
        if optimizer is None:
            return
        self._names = self.ledger.parameters()
        if isinstance(optimizer, LazySGD):
            optimizer.scale_updates({self._names[name]: scale for name, scale in self._product.items()})
        wanted = bool(self._product) or self.told
        if not wanted and self._step is None:
            self.remove()
        elif wanted and not self._hooks:
            self._hooks = [
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(self._after_step),
            ]

    def remove(self) -> None:
        """Watch no longer."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def follow(self, changes: Changes) -> None:
        """Let the step that mechanisms are looking at follow, when one of them rewires or resizes meanwhile."""
        touched = {} if self._step is None else self._step.touched
        for name in touched.keys() & changes.keys():
            touched[name] = touched[name].follow(changes[name][1])
            if touched[name].at is None:  # new synapses may have values of their own
                touched[name] = replace(touched[name], now=self._names[name].detach())

    def scale_of(self, name: str) -> Tensor | None:
        """Return the product of all scales on a parameter's updates; None where all go through."""
        return self._product.get(name)

    def _all_scales(self) -> dict[str, Tensor]:
        product: dict[str, Tensor] = {}
        for scale in self.scales:
            for name, factor in scale.items():
                product[name] = product[name] * factor if name in product else factor
        return {name: factor for name, factor in product.items() if bool((factor != 1).any())}

    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Look at the weights before the step; if it is given a closure, after that has made the gradients."""
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        self._before = {}
        if closure is None:
            self._look()
            return None

        def looked_at() -> Any:
            loss = closure()
            if not self._before:
                self._look()
            return loss

        return args[:1], kwargs | {"closure": looked_at}

    @torch.no_grad()
    def _look(self) -> None:
        watched = self.watched
        unedited = self._edit_gradients()
        if not watched and not self._product:
            return
        for name, parameter in self._names.items():
            scaled = name in self._product and not self._scaled_inside(parameter)
            if parameter.grad is not None and (watched or scaled):
                self._before[name] = _before(parameter, whole=scaled)
        for name, grad in unedited.items():
            self._before[name] = replace(self._before[name], grad=grad)
        if watched:
            self._keep_gradients()

    def _edit_gradients(self) -> dict[str, Tensor]:
        """Let mechanisms change gradients; return those of before, if another mechanism will look at them."""
        mechanisms = self.ledger.mechanisms.values()
        edited = any(mechanism.edits_gradients for mechanism in mechanisms)
        looked_at = any(m.needs >= Needs.TOUCHED and m.looks_at_steps and not m.edits_gradients for m in mechanisms)
        before: dict[str, Tensor] = {}
        if edited and looked_at:
            gradients = {name: parameter.grad for name, parameter in self._names.items()}
            before = {name: grad.clone() for name, grad in gradients.items() if grad is not None}
        for mechanism in mechanisms:
            mechanism.before_step()
        return before

    def _keep_gradients(self) -> None:
        """Copy gradients that the step may write into: torch's foreach loops add Nesterov's momentum to them."""
        assert self.ledger.optimizer is not None
        groups = [g for g in self.ledger.optimizer.param_groups if g.get("nesterov") and not g.get("fused")]
        written = {id(parameter) for group in groups for parameter in group["params"]}
        for name, held in self._before.items():
            grad = self._names[name].grad
            if id(self._names[name]) in written and grad is not None and held.at is None and held.grad is None:
                self._before[name] = replace(held, grad=grad.clone())

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        before, self._before = self._before, {}
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and bool(found_inf):
            return  # a gradient scaler let a fused optimizer skip the step
        step = self._step = Step()
        watched = self.watched
        for name, held in before.items():
            parameter = self._names[name]
            if name in self._product and not self._scaled_inside(parameter):
                scale_change(parameter, held.values, self._product[name])
            if watched:
                now = _now(parameter, held.at)
                step.touched[name] = Touched(held.at, _gradient(parameter, held), now - held.touched(), now)
        if self.told:
            for mechanism in self.ledger.mechanisms.values():
                if mechanism.needs >= Needs.TOUCHED:
                    mechanism.after_step(step)
        self._step = None

    def _scaled_inside(self, parameter: Tensor) -> bool:
        return isinstance(self.ledger.optimizer, LazySGD) and parameter in self.ledger.optimizer.scales

    def __getstate__(self) -> dict[str, Any]:
        """A copy's optimizer has no hooks; the ledger's copy registers them anew."""
        return self.__dict__ | {"_hooks": []}


@dataclass(frozen=True)
class _Before:
    """What a parameter was before a step: all of it, or (``values`` being ``parameter[at]``) what will be touched.

    ``grad`` is its gradient, where the step does not leave it as it is.
    """

    at: Index | None
    values: Tensor
    whole: bool
    grad: Tensor | None = None

    def touched(self) -> Tensor:
        return self.values[self.at] if self.whole and self.at is not None else self.values


def _before(parameter: nn.Parameter, whole: bool) -> _Before:
    grad = parameter.grad
    at = tuple(grad._indices()) if grad is not None and grad.is_sparse else None
    rows = parameter.lazy_rows if isinstance(parameter, InputMajorWeight) else None
    if rows is not None and (at is None or len(at) == 1):
        rows.catch_up()  # what was put off is not this step's change
    if at is None or whole:
        return _Before(at, parameter.detach().clone(), True)
    return _Before(at, parameter.detach()[at], False)


def _gradient(parameter: nn.Parameter, held: _Before) -> Tensor:
    if held.grad is not None:
        return held.grad
    assert parameter.grad is not None
    return parameter.grad if held.at is None else parameter.grad._values()


def _now(parameter: nn.Parameter, at: Index | None) -> Tensor:
    if at is None:
        return parameter.detach()
    rows = parameter.lazy_rows if isinstance(parameter, InputMajorWeight) else None
    if rows is not None and len(at) > 1:  # a gradient of whole units leaves all rows up to date
        rows.catch_up(at[1].numpy())
    return parameter.detach()[at]

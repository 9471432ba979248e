"""What an optimizer step did to the synapses, and how much of it was let through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cl_sparse.layers.active_linear import InputMajorWeight
from cl_sparse.synapses.lazy_sgd import LazySGD
from cl_sparse.synapses.mechanism import Needs
from cl_sparse.synapses.resize import Changes

if TYPE_CHECKING:
    from cl_sparse.synapses.ledger import Ledger

Index = tuple[Tensor, ...]


@dataclass(frozen=True)
class Touched:
    """The part of a parameter that took part in a step.

    Attributes:
        at: index of the entries, (unit,) or (unit, input), long (e,) each, possibly repeated; None for all of them.
        grad: their gradients, in the shape of ``parameter[at]``; those of a repeated entry add up.
        change: what the step changed them by; a repeated entry has the whole change each time.
    """

    at: Index | None
    grad: Tensor
    change: Tensor

    def add(self, numbers: Tensor, terms: Tensor) -> None:
        """Add ``terms``, in the shape of ``grad``, to ``numbers`` (in the shape of the parameter), in place."""
        if self.at is None:
            numbers.add_(terms)
        else:
            numbers.index_put_(self.at, terms, accumulate=True)


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
        self._before: dict[str, tuple[Index | None, Tensor]] = {}
        self._step: Step | None = None
        self._names: dict[str, nn.Parameter] = {}
        self._hooks: list[Any] = []

    @property
    def watched(self) -> bool:
        """Whether a mechanism wants to see what a step changed."""
        return any(mechanism.needs >= Needs.TOUCHED for mechanism in self.ledger.mechanisms.values())

    def refresh(self) -> None:
        """Look anew at what there is to watch and to scale; to be called when either, or any shape, has changed."""
        optimizer = self.ledger.optimizer
        self._product = self._all_scales()
        if optimizer is None:
            return
        self._names = self.ledger.parameters()
        if isinstance(optimizer, LazySGD):
            optimizer.scale_updates({self._names[name]: scale for name, scale in self._product.items()})
        wanted = bool(self._product) or self.watched
        if not wanted and self._step is None:
            for hook in self._hooks:
                hook.remove()
            self._hooks = []
        elif wanted and not self._hooks:
            self._hooks = [
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(self._after_step),
            ]

    def follow(self, changes: Changes) -> None:
        """Let the step that mechanisms are looking at follow, when one of them rewires or resizes meanwhile."""
        touched = {} if self._step is None else self._step.touched
        for name in touched.keys() & changes.keys():
            _, moved = changes[name]
            at, grad, change = touched[name].at, touched[name].grad, touched[name].change
            if at is None:
                touched[name] = Touched(None, moved.carry(grad), moved.carry(change))
            else:  # places of a net that has other ones now
                touched[name] = Touched(tuple(ids[:0] for ids in at), grad[:0], change[:0])

    def _all_scales(self) -> dict[str, Tensor]:
        product: dict[str, Tensor] = {}
        for scale in self.scales:
            for name, factor in scale.items():
                product[name] = product[name] * factor if name in product else factor
        return {name: factor for name, factor in product.items() if bool((factor != 1).any())}

    @torch.no_grad()
    def _before_step(self, *_: Any) -> None:
        watched = self.watched
        self._before = {}
        for name, parameter in self._names.items():
            if parameter.grad is None or not (watched or name in self._product):
                continue
            at = _touched(parameter)
            if at is None:
                self._before[name] = None, parameter.detach().clone()
            elif watched:
                self._before[name] = at, parameter.detach()[at]

    @torch.no_grad()
    def _after_step(self, *_: Any) -> None:
        step = self._step = Step()
        watched = self.watched
        for name, (at, before) in self._before.items():
            parameter = self._names[name]
            if name in self._product and not self._scaled_inside(parameter):
                torch.lerp(before, parameter, self._product[name], out=parameter)
            if watched:
                step.touched[name] = Touched(at, _gradient(parameter, at), _current(parameter, at) - before)
        self._before = {}
        if watched:
            for mechanism in self.ledger.mechanisms.values():
                if mechanism.needs >= Needs.TOUCHED:
                    mechanism.after_step(step)
        self._step = None

    def _scaled_inside(self, parameter: Tensor) -> bool:
        return isinstance(self.ledger.optimizer, LazySGD) and parameter in self.ledger.optimizer.scales


def _touched(parameter: nn.Parameter) -> Index | None:
    """Return the index of the entries that a sparse gradient names, or None."""
    grad = parameter.grad
    return tuple(grad._indices()) if grad is not None and grad.is_sparse else None


def _gradient(parameter: nn.Parameter, at: Index | None) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad if at is None else parameter.grad._values()


def _current(parameter: nn.Parameter, at: Index | None) -> Tensor:
    if at is None:
        return parameter.detach()
    rows = parameter.lazy_rows if isinstance(parameter, InputMajorWeight) else None
    if rows is not None and len(at) > 1:  # a gradient of whole units leaves all rows up to date
        rows.catch_up(at[1].numpy())
    return parameter.detach()[at]

"""Weights that change only where it leaves the old tasks' activity alone: what its methods share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.synapses.leaving import left_alone
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.passes import as_rows, in_full, logits_of, outputs_as_rows, watching, weight_layers
from cl_sparse.synapses.step import Step

LEAVE = "Layers that change freely, as patterns of their names: [classifier*] for a head per task."


class Projection(Mechanism, ABC):
    """Every change of a layer's weights is multiplied by a matrix P that lets new directions of its inputs through.

    Who inherits says what a layer learns from the second moments of its inputs when a task ends, and what it lets
    through. A bias is the weight of one more input that is always 1; a convolution's inputs are its patches.

    Under SGD without weight decay it is the loss's gradient that is projected, δᵀ(aP) in place of δᵀa, at a cost that
    grows with the batch or the units, whichever are fewer; momentum, then a sum of projected gradients, starts anew
    with each task, for which P is another. Under any other optimizer the change that it made is projected, which costs
    a product with P for each unit. A penalty of another mechanism is projected in the second case only; one in mode
    "proximal" in none.

    In a masked layer a projected change has parts where no synapse lives; they are discarded, and old outputs are left
    alone only so far.

    Args:
        leave: layers that change freely, as shell patterns of their names.
        samples: of a task to learn from, its first ones; None: all.

    Attributes:
        memory: what is remembered of each layer's inputs, by the layer's name.
        sees_steps: whether it learns from the inputs of each step, too.

    Raises:
        ValueError: ``samples`` is below 1.
    """

    needs = Needs.ALL
    edits_gradients = True
    task_info = ("boundaries", "none")
    follows_units = False
    sees_steps = False

    def __init__(self, leave: list[str] | None, samples: int | None) -> None:
        if not (samples is None or samples >= 1):
            raise ValueError(f"samples must be at least 1, not {samples}")
        self.leave, self.samples = tuple(leave or ()), samples

    @abstractmethod
    def learn(self, name: str, moments: Tensor, task: int) -> Tensor:
        """Return what is to be remembered of a layer's inputs, (inputs + 1, ...).

        Args:
            name: of the layer, of whose inputs until now ``memory[name]``, if it is there, is remembered.
            moments: the mean of a·aᵀ in the task that has ended, (inputs + 1, inputs + 1), double.
            task: its number.
        """

    @abstractmethod
    def through(self, name: str, rows: Tensor) -> Tensor:
        """Return rows (n, inputs + 1) times the layer's P."""

    def see(self, name: str, rows: Tensor) -> None:
        """A layer's inputs in the step under way are rows (n, inputs + 1). Called if ``sees_steps`` only."""

    def remember(self, name: str, memory: Tensor) -> None:
        """Keep what :meth:`learn` returned, or a checkpoint has."""
        self.memory[name] = memory

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with everything let through.

        Raises:
            ValueError: a layer is of a kind whose inputs are not known, or stores its live synapses only, or a pattern
                of ``leave`` matches no layer.
        """
        layers = weight_layers(ledger.model)
        live = [found.layer for found in ledger.synapses.values() if found.stored == "live"]
        if live:
            raise ValueError(f"{live[0]} stores its live synapses only, whose changes are not projected: mask them")
        self.ledger = ledger
        left = left_alone(layers, self.leave)
        self.layers = {name: layer for name, layer in layers.items() if name not in left}
        self.memory: dict[str, Tensor] = {}
        self._calls: list[tuple[str, Tensor, Tensor]] = []
        self._hooks: list[Any] = []

    def before_task(self, task: int) -> None:
        """Watch what passes through the layers that have learned something."""
        for hook in self._hooks:
            hook.remove()
        names = sorted(self.memory) if self._by_gradient or self.sees_steps else []
        self._hooks = [self.layers[name].register_forward_hook(self._watch(name)) for name in names]

    @torch.no_grad()
    def before_step(self) -> None:
        """Take out of the gradients what is not let through."""
        calls, self._calls = self._calls, []
        for name, x, gradient in calls:
            layer = self.layers[name]
            rows, errors = _with_one(as_rows(layer, x).flatten(0, 1)), outputs_as_rows(layer, gradient).flatten(0, 1)
            if self.sees_steps:
                self.see(name, rows)
            if not self._by_gradient:
                continue
            if errors.shape[1] < len(rows):  # δᵀ(aP) = (δᵀa)P: the side with fewer rows is cheaper
                whole = errors.T @ rows
                held = whole - self.through(name, whole)
            else:
                held = errors.T @ (rows - self.through(name, rows))
            for parameter, part in _parts(layer, held):
                assert parameter.grad is not None
                parameter.grad.sub_(part)

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """Take out of the change what is not let through, where it was not taken out of the gradients."""
        for name in () if self._by_gradient else sorted(self.memory):
            weight, bias = (step.touched.get(f"{name}.{own}") for own in ("weight", "bias"))
            if weight is None:
                continue
            change = weight.change.flatten(1)
            rows = torch.cat(
                [change, bias.change[:, None] if bias is not None else change.new_zeros(len(change), 1)], 1
            )
            for parameter, part in _parts(self.layers[name], rows - self.through(name, rows)):
                parameter.sub_(part)

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Learn the task's inputs, and forget momenta: they are of changes that another P let through."""
        for name, moments in self._moments(batches).items():
            self.remember(name, self.learn(name, moments, task).to(self.layers[name].get_parameter("weight").dtype))
        if self._by_gradient and self.ledger.optimizer is not None:
            for name in self.memory:
                for parameter in self.layers[name].parameters(recurse=False):
                    for value in self.ledger.optimizer.state.get(parameter, {}).values():
                        value.zero_()

    @property
    def nbytes(self) -> int:
        """Bytes of what is remembered."""
        return sum(memory.nbytes for memory in self.memory.values())

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered, by layer."""
        return {"memory": dict(self.memory)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it.

        Raises:
            ValueError: it is of other layers.
        """
        for name, memory in state["memory"].items():
            inputs = self.layers[name].get_parameter("weight")[0].numel() + 1 if name in self.layers else 0
            if memory.dim() != 2 or len(memory) != inputs:
                raise ValueError(f"{name} has no inputs of which {tuple(memory.shape)} could be remembered")
            self.remember(name, memory)

    @property
    def _by_gradient(self) -> bool:
        optimizer = self.ledger.optimizer
        return isinstance(optimizer, torch.optim.SGD) and not any(g["weight_decay"] for g in optimizer.param_groups)

    def _watch(self, name: str) -> Callable[..., None]:
        def forward(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if module.training and output.requires_grad:
                x = in_full(inputs[0].detach())
                output.register_hook(  # type: ignore[no-untyped-call]  # torch leaves it untyped
                    lambda gradient: self._calls.append((name, x, in_full(gradient.detach())))
                )

        return forward

    def _moments(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, Tensor]:
        model, seen = self.ledger.model, 0
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        with observing(model), torch.no_grad():
            for full in batches:
                batch = tuple(part[: None if self.samples is None else self.samples - seen] for part in full)
                if not len(batch[0]):
                    break
                with watching(self.layers) as calls:
                    logits_of(model, batch)
                seen += len(batch[0])
                for name, x in ((name, x) for name, own in calls.items() for x, _ in own):
                    rows = _with_one(as_rows(self.layers[name], x).flatten(0, 1))
                    sums[name] = sums.get(name, 0) + (rows.T @ rows).double()
                    counts[name] = counts.get(name, 0) + len(rows)
        return {name: found / counts[name] for name, found in sums.items()}


def by_layer(value: float | list[float], layers: Iterable[str], argument: str) -> dict[str, float]:
    """Return the number for each layer.

    Args:
        value: one for all, or one for each.
        layers: their names.
        argument: what the number is called.

    Raises:
        ValueError: there are not as many numbers as layers.
    """
    names = list(layers)
    values = value if isinstance(value, list) else [value] * len(names)
    if len(values) != len(names):
        raise ValueError(
            f"{argument} has {len(values)} numbers for {len(names)} layers ({', '.join(names)}): give one each"
        )
    return dict(zip(names, values, strict=True))


def _with_one(rows: Tensor) -> Tensor:
    return nn.functional.pad(rows, (0, 1), value=1.0)


def _parts(layer: nn.Module, rows: Tensor) -> list[tuple[nn.Parameter, Tensor]]:
    """Return a layer's parameters, and of rows (units, inputs + 1) what is theirs."""
    weight = layer.get_parameter("weight")
    parts = [(weight, rows[:, :-1].view_as(weight))]
    return parts if layer.bias is None else [*parts, (layer.get_parameter("bias"), rows[:, -1])]

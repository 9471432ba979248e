"""Hard attention to the task: each task learns which units it needs, and what they have learned is held."""

from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers.parts import PartsOfNet, places_per_unit, refuse_live
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.task_parts import TaskParts

_MOST = 6.0  # |e| beyond which its gradient is nothing, and exponent beyond which cosh is too much
_EXPONENT = 50.0


class AttentiveNet(PartsOfNet):
    """A net with an attention σ(s·e) per task and hidden unit, which its output is multiplied by.

    ReLU(a·z) = a·ReLU(z), so it is what comes into the activation that is multiplied, there where the layer gives it.

    Args:
        net: hidden layers with ReLU behind them, or anything else that passes a factor above 0 on.
        n_tasks: tasks that there will be.
        steepness: s at test.

    Attributes:
        steepness_now: s.
    """

    of_units = True

    def __init__(self, net: nn.Module, n_tasks: int, steepness: float) -> None:
        super().__init__(net, n_tasks)
        self.steepness_now = steepness
        self.key = {name: f"attention_{number}" for number, name in enumerate(self.hidden)}
        for name, layer in self.hidden.items():
            units = len(layer.get_parameter("weight"))
            self.register_parameter(self.key[name], nn.Parameter(torch.randn(n_tasks, units)))

    def embedding(self, name: str) -> nn.Parameter:
        """Return e of a hidden layer, (tasks, units)."""
        return self.get_parameter(self.key[name])

    def attention(self, name: str, task: int) -> Tensor:
        """Return σ(s·e) of a hidden layer's units in a task, (units,)."""
        return torch.sigmoid(self.steepness_now * self.embedding(name)[task])

    def part(self, task: int) -> dict[str, Tensor]:
        """Return nothing: all tasks share the parameters."""
        return {}

    def _compute(self, task: int, x: Tensor) -> Tensor:
        hooks = [
            self.net.get_submodule(layer).register_forward_hook(partial(_attend, self.attention(name, task)))
            for layer, name in zip(self.net.consumers(), self.key, strict=True)
        ]
        try:
            return super()._compute(task, x)
        finally:
            for hook in hooks:
                hook.remove()


def _attend(attention: Tensor, _: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> Tensor:
    """Multiply what a layer gives, (B, units, ...), by the attention to each unit."""
    return out * attention.view(-1, *[1] * (out.dim() - 2))


class HardAttention(TaskParts):
    """Hard attention to the task, HAT (Serrà, Surís, Miron and Karatzoglou 2018).

    A task's attention to the hidden units is trained with the weights, σ(s·e), with s rising from 1/s_max to s_max in
    every epoch (eq. 3) and the gradient of e compensated for it (eq. 4). When the task ends, every unit keeps the
    highest attention a that any task has paid it; from then on changes of a synapse are multiplied by 1 − min(a of
    its unit, a of its input) (eq. 2). Attention to units that no earlier task needs costs: λ·Σ a(1 − a_before)/Σ(1 −
    a_before) (eq. 5). The head's units count as needed by all tasks, its inputs as they are; heads of other tasks get
    no gradient anyway.

    Args:
        steepness: s_max.
        cost: λ, c in the paper.

    Raises:
        ValueError: a number is out of range.
    """

    edits_gradients = True
    fractional = True
    kind = AttentiveNet
    net: AttentiveNet

    def __init__(
        self,
        steepness: Annotated[float, Field(gt=1, description="s_max: how close to 0 or 1 attention comes.")] = 400.0,
        cost: Annotated[float, Field(ge=0, description="λ: cost of attention to units that no task needs yet.")] = 0.75,
    ) -> None:
        if not steepness > 1 or not cost >= 0:
            raise ValueError(f"steepness must be above 1 and cost at least 0, not {steepness} and {cost}")
        self.steepness, self.cost = steepness, cost

    def wrap(self, net: nn.Module, n_tasks: int) -> AttentiveNet:
        """Return the net with attention, drawn from torch's random numbers.

        Raises:
            ValueError: a layer stores its live synapses only.
        """
        refuse_live(net)
        return AttentiveNet(net, n_tasks, self.steepness)

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with no unit needed.

        Raises:
            ValueError: the ledger's net is not one that :meth:`wrap` returned, or its hidden layers do not follow one
                another.
        """
        super().attach(ledger, generator)
        for (layer, own), (following, _) in pairwise(self.net.net.consumers().items()):
            if own.readers != (following,):
                raise ValueError(f"hidden layers have to follow one another, and {following} does not read {layer}")
        self.task, self._step, self._steps = -1, 0, 0
        self._before = {name: torch.zeros_like(self.net.embedding(name)[0]) for name in self.net.key}

    @torch.no_grad()
    def before_task(self, task: int) -> None:
        """Let this task's attention be learned, and no other's, which momentum and decay would move."""
        self.task = task
        for name, key in self.net.key.items():
            rows = torch.zeros_like(self.net.embedding(name))
            rows[task] = 1.0
            self.let_through({key: rows})

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Begin softly."""
        self._step, self._steps = 0, steps
        self.net.steepness_now = 1 / self.steepness

    def penalty(self) -> Tensor | float:
        """Return the cost of attention."""
        if self.task < 0 or not self.cost:
            return 0.0
        free = {name: 1 - before for name, before in self._before.items()}
        paid = [(self.net.attention(name, self.task) * part).sum() for name, part in free.items()]
        all_free = sum(float(part.sum()) for part in free.values())
        return self.cost * torch.stack(paid).sum() / max(all_free, 1e-9)

    @torch.no_grad()
    def before_step(self) -> None:
        """Give e the gradient that it would have with s = 1."""
        s = self.net.steepness_now
        for name in self.net.key:
            e = self.net.embedding(name)
            if e.grad is not None:
                soft = torch.cosh((s * e).clamp(-_EXPONENT, _EXPONENT)) + 1
                e.grad.mul_(self.steepness / s * soft / (torch.cosh(e) + 1))

    @torch.no_grad()
    def after_step(self, step: object) -> None:
        """Keep e where it can still be moved; make attention harder."""
        for name in self.net.key:
            self.net.embedding(name).clamp_(-_MOST, _MOST)
        self._step += 1
        low, along = 1 / self.steepness, self._step / max(1, self._steps - 1)
        self.net.steepness_now = low + (self.steepness - low) * min(1.0, along)

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Hold what the task needs."""
        self.task, self.net.steepness_now = -1, self.steepness
        self._hold(task + 1)

    def _hold(self, tasks: int) -> None:
        """Hold what the first tasks need. It follows from their attention, which is saved with the net."""
        needed = {
            name: torch.stack([self.net.attention(name, task) for task in range(tasks)]).amax(0).detach()
            for name in self.net.key
        }
        self._before = needed
        scale: dict[str, Tensor | float] = {}
        below: tuple[nn.Module, Tensor] | None = None
        for name, layer in self.net.hidden.items():
            scale |= _free(f"net.{name}", layer, needed[name], below)
            below = layer, needed[name]
        if len(self.net.readers) == 1:  # of several heads each has a task of its own
            layer = self.net.get_submodule(self.net.readers[0])
            always = needed[name].new_ones(len(layer.get_parameter("weight")))
            scale |= _free(self.net.readers[0], layer, always, below)
        self.let_through(scale)

    def state_dict(self) -> dict[str, Any]:
        """Return what tasks have needed so far."""
        return {"needed": dict(self._before)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it.

        Raises:
            ValueError: it is of other layers.
        """
        if {name: value.shape for name, value in state["needed"].items()} != {
            name: value.shape for name, value in self._before.items()
        }:
            raise ValueError(f"what is needed is of the layers {sorted(state['needed'])}")
        self._before = dict(state["needed"])


def _free(
    name: str, layer: nn.Module, needed: Tensor, below: tuple[nn.Module, Tensor] | None
) -> dict[str, Tensor | float]:
    """Return, by the parameters' names, the factor on changes of a layer whose units and inputs are needed so much."""
    weight = layer.get_parameter("weight")
    ones = [1] * (weight.dim() - 2)
    of_inputs = needed.new_ones(1)
    if below is not None:
        of_inputs = below[1].repeat_interleave(places_per_unit(layer, below[0]))
    factor = 1 - torch.minimum(needed.view(-1, 1, *ones), of_inputs.view(1, -1, *ones)).expand(weight.shape)
    bias = {f"{name}.bias": 1 - needed} if layer.bias is not None else {}
    return {f"{name}.weight": factor, **bias}

"""Synapses held to where they were by springs, whatever says how strong each spring is."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.passes import weight_layers
from cl_sparse.synapses.step import Step

Hold = Literal["penalty", "proximal"]
HOLD = (
    "penalty: the springs are in the loss; proximal: each step ends where loss and springs agree, stable at any "
    "strength."
)


class Quadratic(Mechanism):
    """c·Σ Ω·(w − w*)², with an importance Ω ≥ 0 and an anchor w* per synapse; who inherits sets both at a task's end.

    In mode "penalty" it is in the loss. Its gradient is 2cΩ(w − w*), so a step overshoots where lr·2cΩ > 2; in mode
    "proximal" the loss takes its step first and then w ← (w + k·w*)/(1 + k), k = 2·lr·c·Ω, which is the point that
    minimises the penalty plus (distance)²/2lr (Parikh and Boyd 2014, "Proximal algorithms", 4.2): to the first order
    the same for plain SGD, and stable at any strength. ``lr`` is that of the parameter's group: momentum and Adam,
    which take other steps than the gradient times lr, do not change the pull.

    Attributes:
        importance, anchor: by the parameter's name, in its shape.
        per_sample: whether importances are made of single samples' gradients.
    """

    needs = Needs.ALL
    looks_at_steps = False
    task_info = ("boundaries", "none")
    per_sample: ClassVar[bool] = False

    def __init__(self, c: float, mode: str) -> None:
        self.c, self.mode = c, mode

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with no importance.

        Raises:
            ValueError: single samples' gradients are needed, and the net has a layer of which they are not known.
        """
        if self.per_sample:
            weight_layers(ledger.model)
        self.ledger = ledger
        self.importance, self.anchor = ledger.keep(self.name, "Ω"), ledger.keep(self.name, "w*")

    def penalty(self) -> Tensor | float:
        """Return c·Σ Ω·(w − w*)², in mode "penalty"."""
        if self.mode != "penalty" or not self.c:
            return 0.0
        parameters = self.ledger.parameters().items()
        terms = [_energy(parameter, self.importance[name], self.anchor[name]) for name, parameter in parameters]
        return self.c * torch.stack(terms).sum()

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """Pull every synapse back, in mode "proximal"."""
        if self.mode != "proximal" or not self.c:
            return
        for name, lr in self.ledger.learning_rates().items():
            k = self.importance[name] * (2 * lr * self.c)
            self.ledger.pull(name, self.anchor[name], k.div_(k + 1))


class Springs(torch.autograd.Function):
    """Σ Ω·(w − w*)², differentiable in w, with half of the passes over memory that autograd's own operations take."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, importance: Tensor, anchor: Tensor) -> Tensor:
        """Return the sum, a scalar, of tensors of one shape."""
        stretch = weight - anchor
        pull = importance * stretch
        ctx.save_for_backward(pull)
        return stretch.mul_(pull).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Return 2Ω(w − w*) times the gradient that came."""
        (pull,) = ctx.saved_tensors
        return pull * (2 * grad), None, None


def _energy(weight: Tensor, importance: Tensor, anchor: Tensor) -> Tensor:
    energy: Tensor = Springs.apply(weight, importance, anchor)  # type: ignore[no-untyped-call]  # torch leaves it so
    return energy

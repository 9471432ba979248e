"""Weights held to where they were by springs between them: curvature in Kronecker factors, one pair for each layer."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.importance import LABELS, OUTPUT, TEMPERATURE, Likelihood, fisher_factors
from cl_sparse.synapses.leaving import left_alone
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.passes import weight_layers
from cl_sparse.synapses.step import Step


class KroneckerLaplace(Mechanism):
    """Online structured Laplace approximation (Ritter, Botev and Barber 2018), as a proximal step.

    EWC holds each synapse by a spring of its own; here the springs of a layer are coupled. When a task ends, its Fisher
    information about a layer's weights W (units, inputs + 1), the bias being the weight of an input that is always 1,
    is taken for B⊗A: A the mean of a·aᵀ over its inputs a, and B that of δ·δᵀ over the gradients δ of log p(y|x) at
    its units. From then on the loss gets (c/2)·tr(B D A Dᵗ), D = W − W*: W* are the weights after the last task, A the
    mean over the tasks until then, B the sum. That Σ B_t⊗A_t is close to (ΣB_t)⊗(mean A_t) is the authors' assumption.

    Every ``every`` steps the penalty is met by W ← W* + Q (D̃ ⊘ (1 + c·s·tᵢ·σⱼ)) Uᵗ, D̃ = QᵗDU, where A = U diag(σ) Uᵗ,
    B = Q diag(t) Qᵗ and s is the sum of the steps' learning rates: the point that minimises the penalty plus
    (distance)²/2s, stable at any strength, as in ``Quadratic``. Directions that old tasks did not use are free,
    whatever single synapses are worth: EWC's diagonal cannot tell them; OWM's projection can, but not how much each
    matters.

    A masked layer's springs are those of the dense one; what they do where no synapse lives is discarded.

    Args:
        c: strength, at least 0; 0 is plain training.
        labels: "drawn" from the net's predictions, which makes B⊗A an estimate of the Fisher information; "given":
            those of the data.
        samples: of a task to average over, its first ones; None: all.
        temperature: of the predictions, see ``Likelihood``; 1, as in the paper.
        every: steps from one pull to the next; each costs four products of the size of the layer.
        output: what the loss takes outputs for, see ``Likelihood``.
        leave: layers without springs, as shell patterns of their names: those that another mechanism preserves.

    Raises:
        ValueError: a number is out of range.
    """

    needs = Needs.ALL
    looks_at_steps = False
    task_info = ("boundaries", "none")
    follows_units = False

    def __init__(
        self,
        c: Annotated[float, Field(ge=0, description="Strength; 0 is plain training.")] = 100.0,
        labels: Annotated[Literal["drawn", "given"], Field(description=LABELS)] = "drawn",
        samples: Annotated[int | None, Field(ge=1, description="Of a task to average over; null: all.")] = 10_000,
        temperature: Annotated[float, Field(ge=0.01, le=100, description=TEMPERATURE)] = 1.0,
        every: Annotated[int, Field(ge=1, description="Steps from one pull to the next.")] = 10,
        output: Annotated[Literal["softmax", "gaussian"], Field(description=OUTPUT)] = "softmax",
        leave: Annotated[list[str] | None, Field(description="Layers without springs, as patterns of names.")] = None,
    ) -> None:
        if not c >= 0 or every < 1:
            raise ValueError(f"c must be at least 0, every at least 1, not {c}, {every}")
        self.c, self.every, self.likelihood = c, every, Likelihood(labels, samples, temperature, output)
        self.leave = tuple(leave or ())

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with nothing held.

        Raises:
            ValueError: a parameter belongs to no linear layer or convolution, or a layer stores its live synapses only;
                or a pattern of ``leave`` matches no layer.
        """
        layers = weight_layers(ledger.model)
        left = left_alone(layers, self.leave)
        self.layers = {name: layer for name, layer in layers.items() if name not in left}
        for found in ledger.synapses.values():
            if found.stored == "live":
                raise ValueError(f"{found.layer} stores its live synapses only, which are not held together: mask them")
        self.ledger, self.generator = ledger, generator
        self.anchor = ledger.keep(self.name, "w*")
        self.factors: dict[str, tuple[Tensor, Tensor]] = {}  # ΣA and ΣB, by layer
        self.tasks: dict[str, int] = {}
        self._axes: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {}
        self._steps, self._gone = 0, dict.fromkeys(self.layers, 0.0)

    def after_step(self, step: Step) -> None:
        """Count the step, and pull if it is time."""
        if not self._axes or not self.c:
            return
        rates = self.ledger.learning_rates()
        for name in self._axes:
            self._gone[name] += rates.get(f"{name}.weight", 0.0)
        self._steps += 1
        if self._steps % self.every == 0:
            self._pull()

    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Make up for the last steps, and add the task's information."""
        self._pull()
        self._steps = 0
        found = fisher_factors(self.ledger.model, batches, self.generator, self.likelihood, self.layers)
        for name, (inputs, units) in found.items():
            old = self.factors.get(name, (torch.zeros_like(inputs), torch.zeros_like(units)))
            self._remember(name, (old[0] + inputs, old[1] + units), self.tasks.get(name, 0) + 1)
        for name, weight in self.ledger.current().items():
            self.anchor[name].copy_(weight)

    @torch.no_grad()
    def _pull(self) -> None:
        """Pull every layer towards the anchor, as strongly as the steps since the last pull were long."""
        now = self.ledger.current()
        lives = {name: torch.ones_like(value) for name, value in now.items()}
        for found in self.ledger.synapses.values():
            if found.live is not None:
                lives[found.name] = found.live.to(now[found.name].dtype)
        for name, (u, sigma, q, t) in self._axes.items():
            keys = [key for key in (f"{name}.weight", f"{name}.bias") if key in now]
            moved = [((now[key] - self.anchor[key]) * lives[key]).reshape(len(q), -1) for key in keys]
            strength = (self.c * self._gone[name]) * t[:, None] * sigma
            held = q @ ((q.T @ torch.cat(moved, 1) @ u) / (1 + strength)) @ u.T
            for key, part in zip(keys, torch.split(held, [part.shape[1] for part in moved], 1), strict=True):
                self.ledger.pull(key, self.anchor[key] + part.view_as(now[key]), lives[key])
            self._gone[name] = 0.0

    def _remember(self, name: str, factors: tuple[Tensor, Tensor], tasks: int) -> None:
        """Keep a layer's factors in its weights' type, and their axes."""
        dtype = self.layers[name].get_parameter("weight").dtype
        inputs, units = (factor.to(dtype) for factor in factors)
        self.factors[name], self.tasks[name] = (inputs, units), tasks
        sigma, u = torch.linalg.eigh(inputs.double() / tasks)
        t, q = torch.linalg.eigh(units.double())
        self._axes[name] = (u.to(dtype), sigma.clamp(min=0).to(dtype), q.to(dtype), t.clamp(min=0).to(dtype))

    @property
    def nbytes(self) -> int:
        """Bytes of the factors."""
        return sum(inputs.nbytes + units.nbytes for inputs, units in self.factors.values())

    def state_dict(self) -> dict[str, Any]:
        """Return the factors, by layer, and of how many tasks they are."""
        return {"factors": dict(self.factors), "tasks": dict(self.tasks)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them.

        Raises:
            ValueError: they are of other layers.
        """
        for name, (inputs, units) in state["factors"].items():
            weight = self.layers[name].get_parameter("weight") if name in self.layers else torch.empty(0, 0)
            if (len(units), len(inputs)) != (len(weight), weight[:1].numel() + 1):
                raise ValueError(f"{name}: the factors are of {len(units)} units and {len(inputs) - 1} inputs")
            self._remember(name, (inputs, units), int(state["tasks"][name]))

"""How full each hidden layer is after each task, and which units each task needs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers import KWinnersBase
from cl_sparse.layers.consumers import ACTIVATIONS, Consumers
from cl_sparse.metrics.capacity import components_for, effective_rank, importance_overlap, spread
from cl_sparse.synapses.ablation import ablation_importance
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism
from cl_sparse.synapses.moments import Moments
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.passes import first, logits_of
from cl_sparse.synapses.resize import Changes

SHARE = 0.99  # of the variance, that ``components`` hold


class CapacityProbe(Mechanism):
    """Measure after each task, on its training data, how full each hidden layer is. It changes nothing.

    Of the activities: dead units, Σ std, Shapiro's W, and the weights of two mixtures (``cl_sparse.metrics.capacity``).
    Of the pre-activations: the effective rank, and how many principal components hold 99 % of the variance. Of the
    units: by how much the loss on the task's data rises without each, and how far the units that tasks need overlap.
    These are correlates of forgetting to be studied, not to be controlled by. A channel of a convolution is a unit, a
    place in an image a sample.

    Args:
        samples: of each task, the first ones, that activities are looked at with.
        ablation_samples: of each task, the first ones, that the loss without each unit is measured on; 0: it is not.
            For each unit the net is computed from its readers on (784-4000-10: 3 s, 784-4000-4000-10: 40 s).

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        samples: Annotated[int, Field(ge=2, description="Samples of a task to look at activities with.")] = 1000,
        ablation_samples: Annotated[
            int, Field(ge=0, description="Samples of a task to measure the loss without each unit on; 0: not.")
        ] = 200,
    ) -> None:
        if samples < 2 or ablation_samples < 0:
            raise ValueError(
                f"samples must be at least 2 and ablation_samples at least 0, not {samples} and {ablation_samples}"
            )
        self.samples, self.ablation_samples = samples, ablation_samples
        self.tasks: list[int] = []
        self.measured: dict[str, dict[str, list[float]]] = {}
        self.importance: dict[str, list[Tensor]] = {}

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Follow the units.

        Raises:
            ValueError: it is not known of any layer who reads its units.
        """
        if not ledger.consumers():
            raise ValueError("there is no hidden layer of which it is known who reads its units")
        self.ledger = ledger
        ledger.listeners.append(self.follow)

    def follow(self, changes: Changes) -> None:
        """Let importances follow when units were removed or added."""
        for layer in self.importance.keys() & changes.keys():
            self.importance[layer] = [changes[layer][1].carry(numbers) for numbers in self.importance[layer]]

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Measure."""
        with torch.random.fork_rng(devices=[]):  # Avalanche's loaders draw when they are asked for an iterator
            self.tasks.append(task)
            for layer, found in self._spreads(batches).items():
                own = self.measured.setdefault(layer, {})
                for key, value in found.items():
                    own.setdefault(key, []).append(value)
            if self.ablation_samples:
                importance = ablation_importance(self.ledger.model, batches, self.ablation_samples)
                for layer, rise in importance.items():
                    self.importance.setdefault(layer, []).append(rise)

    def _spreads(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, dict[str, float]]:
        model, consumers = self.ledger.model, self.ledger.consumers()
        with observing(model), _watching(model, consumers) as seen:
            for batch in first(batches, self.samples):
                logits_of(model, batch)
        return {
            layer: {
                **spread(activities.std().numpy()),
                "effective_rank": effective_rank(before.covariance().numpy()),
                "components": float(components_for(before.covariance().numpy(), SHARE)),
            }
            for layer, (before, activities) in seen.items()
            if activities.count
        }

    def statistics(self) -> dict[str, Any]:
        """Return, by layer, what was measured after each task, (tasks,), the importances, (tasks, units), and their
        overlap, (tasks, tasks)."""
        importance = {layer: torch.stack(rises).numpy() for layer, rises in self.importance.items()}
        return {
            "tasks": self.tasks,
            "layers": {
                layer: {key: np.array(values) for key, values in own.items()} for layer, own in self.measured.items()
            },
            "importance": importance,
            "overlap": {layer: importance_overlap(numbers) for layer, numbers in importance.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured."""
        return {"tasks": self.tasks, "measured": self.measured, "importance": self.importance}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.tasks, self.measured = list(state["tasks"]), dict(state["measured"])
        self.importance = {layer: [rise.cpu() for rise in rises] for layer, rises in state["importance"].items()}


@contextmanager
def _watching(model: nn.Module, consumers: dict[str, Consumers]) -> Iterator[dict[str, tuple[Moments, Moments]]]:
    """Gather, by layer, the moments of what comes into its activation and of what comes out, or of its outputs."""
    seen = {layer: (Moments(), Moments(only_variances=True)) for layer in consumers}
    hooks: list[Any] = []
    for layer, own in consumers.items():
        before, after = seen[layer]
        modules = [model.get_submodule(name) for name in own.between]
        active = [module for module in modules if isinstance(module, (*ACTIVATIONS, KWinnersBase))]
        if active:
            hooks.append(active[0].register_forward_pre_hook(_noting_inputs(before)))
        else:
            hooks.append(model.get_submodule(layer).register_forward_hook(_noting_outputs(before)))
        last = active[-1] if active else model.get_submodule(layer)
        hooks.append(last.register_forward_hook(_noting_outputs(after)))
    try:
        yield seen
    finally:
        for one in hooks:
            one.remove()


def _noting_inputs(moments: Moments) -> Callable[..., None]:
    return lambda _, inputs: moments.add(_rows(inputs[0]))


def _noting_outputs(moments: Moments) -> Callable[..., None]:
    return lambda *arguments: moments.add(_rows(arguments[-1]))


def _rows(x: Any) -> Tensor:
    """Return activities as (samples, units): of a channel each place is a sample."""
    dense: Tensor = x if isinstance(x, Tensor) else x.dense()
    return dense.movedim(1, -1).flatten(0, -2)

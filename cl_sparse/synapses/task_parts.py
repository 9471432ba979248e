"""What methods share that give each task a part of the net."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from cl_sparse.layers.inferred_contexts import InferredContexts
from cl_sparse.layers.parts import PartsOfNet
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.update_scale import scale_updates


class TaskParts(Mechanism):
    """A method of which :meth:`wrap` returns a net of parts, chosen by the task's label in training and at test.

    Attributes:
        kind: of that net.
        net: it.
        prefix: what its parameters' names begin with in the ledger: it may stand within one that infers labels.
        updates: a factor on the changes of each of its parameters.
    """

    needs = Needs.ALL
    task_info = ("label", "label")
    follows_units = False
    kind: ClassVar[type[PartsOfNet]]
    net: Any

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with everything let through.

        Raises:
            ValueError: the ledger's net is not one that :meth:`wrap` returned.
        """
        infers = isinstance(ledger.model, InferredContexts)
        net, self.prefix = (ledger.model.net, "net.") if infers else (ledger.model, "")
        if not isinstance(net, self.kind):
            raise ValueError("give the optimizer and the ledger the net that wrap(net, n_tasks) returns")
        self.ledger, self.net, self.generator = ledger, net, generator
        self.updates = scale_updates(ledger, {}, owner=self.name)

    def let_through(self, scale: Mapping[str, Tensor | float]) -> None:
        """Set the factors on changes of some parameters, by their names in the net of parts."""
        self.updates.set({f"{self.prefix}{name}": factors for name, factors in scale.items()})

"""What methods share that give each task a part of the net."""

from typing import Any, ClassVar

import torch

from cl_sparse.layers.parts import PartsOfNet
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.update_scale import scale_updates


class TaskParts(Mechanism):
    """A method of which :meth:`wrap` returns a net of parts, chosen by the task's label in training and at test.

    Attributes:
        kind: of that net.
        net: it.
        updates: a factor on the changes of each of its parameters.
    """

    needs = Needs.ALL
    task_info = ("label", "label")
    kind: ClassVar[type[PartsOfNet]]
    net: Any

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with everything let through.

        Raises:
            ValueError: the ledger's net is not one that :meth:`wrap` returned.
        """
        if not isinstance(ledger.model, self.kind):
            raise ValueError("give the optimizer and the ledger the net that wrap(net, n_tasks) returns")
        self.ledger, self.net, self.generator = ledger, ledger.model, generator
        self.updates = scale_updates(ledger, {}, owner=self.name)

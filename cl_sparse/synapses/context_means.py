"""The task of each sample at test, inferred from the sample: what is needed to do without its label."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cl_sparse.layers.inferred_contexts import InferredContexts
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs


class ContextMeans(Mechanism):
    """Infer the task of each sample at test: the one whose mean training input is nearest.

    To stand behind what gives each task a part of the net, or a net of its own, or a head. One mean input is stored
    for each task. On permuted images the inference is right nearly always, since every pixel's mean tells of the
    permutation: a gated method is then no better than the nets it chooses from (:mod:`cl_sparse.strategies`,
    ``independent_inferred``).
    """

    needs = Needs.BOUNDARIES
    task_info = ("boundaries", "inferred per sample")

    def wrap(self, net: nn.Module, n_tasks: int) -> InferredContexts:
        """Return the net that infers the labels it needs.

        Raises:
            ValueError: it needs none.
        """
        if not getattr(net, "needs_task_labels", False):
            raise ValueError("nothing in the net depends on the task: there has to be a head, a part or a net for each")
        return InferredContexts(net, n_tasks)

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start without means.

        Raises:
            ValueError: the ledger's net is not one that :meth:`wrap` returned.
        """
        if not isinstance(ledger.model, InferredContexts):
            raise ValueError("give the optimizer and the ledger the net that wrap(net, n_tasks) returns")
        self.net = ledger.model

    def see_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Keep the mean of the task's inputs, and let its part be trained."""
        self.net.training_task = task
        for x, *_ in batches:
            self.net.see(x, task)

"""Synapses that take part in no sample of a step do not move, whatever the optimizer remembers."""

import torch

from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.step import Step


class FreshSteps(Mechanism):
    """Take back the change of every synapse whose gradient was exactly 0 in a step.

    With k-winners most units are idle for most samples. Momentum and Adam's moments go on moving them, by gradients
    of long ago: "stale momentum" (Bricken et al. 2023), which kills units and forgets; weight decay moves them as
    well. Here an idle synapse stays where it is; what the optimizer remembers goes on fading.
    """

    needs = Needs.ALL

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Look at every step."""
        self.ledger = ledger

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """Put back what had no gradient."""
        for name, touched in step.touched.items():
            back = touched.change * (touched.grad == 0)
            self.ledger.parameters()[name].sub_(back)

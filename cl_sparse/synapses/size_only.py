"""Training weights first, and then nothing but the size of the net."""

from typing import Annotated

import torch
from pydantic import Field

from cl_sparse.layers import UnitFilter
from cl_sparse.layers.filter_placement import filters_of
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.update_scale import scale_updates


class SizeOnly(Mechanism):
    """In each task train all but the filters first, and then the filters alone (planned in Leclerc 2017, section 13).

    It asks whether a trained net can be made smaller without training its weights any more. A mechanism that puts
    filters into the net has to be there too; what filters cost has no effect while they are held.

    Args:
        after: epochs of a task in which the filters stay as they are; behind these, weights, biases and normalisation
            stay, bit for bit, but for the statistics of batch normalisation.

    Raises:
        ValueError: ``after`` is below 0.
    """

    needs = Needs.BOUNDARIES

    def __init__(
        self,
        after: Annotated[int, Field(ge=0, description="Epochs of a task before only the filters are trained.")] = 10,
    ) -> None:
        if not after >= 0:
            raise ValueError(f"after must be at least 0, not {after}")
        self.after = after

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Look which parameters are filters.

        Raises:
            ValueError: the net has none.
        """
        if not filters_of(ledger.model):
            raise ValueError("no layer has a filter, so there is no size to train: name a mechanism that puts them in")
        self.ledger = ledger
        self.updates = scale_updates(ledger, {}, owner=self.name)

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Hold the filters, or all but them."""
        model, sizes = self.ledger.model, epoch >= self.after
        modules = ((name, module) for name, module in model.named_modules() if isinstance(module, UnitFilter))
        filters = {f"{name}.{key}" for name, module in modules for key, _ in module.named_parameters()}
        self.updates.set({name: float((name in filters) == sizes) for name, _ in model.named_parameters()})

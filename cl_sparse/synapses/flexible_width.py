"""A width that is one parameter for each layer: kept as a baseline that the other filters beat."""

from typing import Annotated, Any

import torch
from pydantic import Field

from cl_sparse.errors import UserError
from cl_sparse.layers import FlexibleLayer
from cl_sparse.synapses.filtered_units import Decay, FilteredUnits, parameter_of
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.update_scale import scale_updates


class FlexibleWidth(FilteredUnits):
    """A window σ(−k(i − x₀)) over the units of each hidden layer, at the cost λ·(its area) (see ``FlexibleLayer``).

    A documented negative baseline: where the window ends up depends on where it starts.

    Args:
        strength: λ, at least 0; of a convolution's channel times the area of its kernel.
        decay: what λ is divided by after each epoch of a task, at least 1.
        filter_lr: learning rate of x₀; None: that of the weights, which is far too small for units. It never decays.
        start: x₀ at first, as a share of the layer's units.
        steepness: k.
        random_slope: draw k anew at each training pass.
        after: epochs of the first task in which all units learn, x₀ held behind them; then x₀ is set to the start (the
            journal's section 11, two phases).

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        strength: Annotated[float, Field(ge=0, description="λ: what a unit within the window costs.")] = 1e-4,
        decay: Decay = 1.0,
        filter_lr: Annotated[
            float | None,
            Field(gt=0, description="Learning rate of x₀, in units; null: that of the weights."),
        ] = 1.0,
        start: Annotated[float, Field(ge=0, le=1, description="x₀ at first, as a share of the layer's units.")] = 0.5,
        steepness: Annotated[float, Field(gt=0, description="k: steepness of the window's edge.")] = 1.0,
        random_slope: Annotated[bool, Field(description="Draw the steepness anew at each training pass.")] = False,
        after: Annotated[int, Field(ge=0, description="Epochs of the first task before the window has an effect.")] = 0,
    ) -> None:
        super().__init__(strength, decay, filter_lr)
        if not 0 <= start <= 1:
            raise ValueError(f"start must be from 0 to 1, not {start}")
        if not after >= 0:
            raise ValueError(f"after must be at least 0, not {after}")
        FlexibleLayer(1, steepness=steepness)  # is for it to refuse
        self.start, self.steepness, self.random_slope, self.after = start, steepness, random_slope, after
        self.in_first_task = False

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Give x₀ a group of its own in the optimizer.

        Raises:
            ValueError: the ledger's net has no windows, or its optimizer does not train them.
        """
        super().attach(ledger, generator)
        if self.after:
            self.hold = scale_updates(ledger, {}, owner=self.name)

    def before_task(self, task: int) -> None:
        """Start with the full cost again."""
        super().before_task(task)
        self.in_first_task = task == 0

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Let the cost decay; in the first task hold the windows open for ``after`` epochs, then set them to the start.

        Raises:
            UserError: the first task ends before the windows are set.
        """
        super().before_epoch(epoch, epochs, steps)
        if not (self.after and self.in_first_task and epoch in (0, self.after)):
            return
        if epochs <= self.after:
            raise UserError(f"{self.name}: after must be below the {epochs} epochs of the first task, not {self.after}")
        for name, own in self.filters.values():
            assert isinstance(own, FlexibleLayer)  # as make() returns
            self.hold.set({parameter_of(name, own): float(epoch > 0)})
            if not epoch:
                own.open()
                continue
            own.start_at(self.start * own.n)
            if self.ledger.optimizer is not None:  # what it has gathered is of the open window
                self.ledger.optimizer.state.pop(own.edge, None)

    def statistics(self) -> dict[str, Any]:
        """Return the area of each hidden layer's window in units, by layer."""
        windows = {layer: own for layer, (_, own) in self.filters.items() if isinstance(own, FlexibleLayer)}
        return {"sizes": {layer: float(own.size().detach()) for layer, own in windows.items()}}

    def make(self, n: int, cost: float) -> FlexibleLayer:
        """Return a filter for n units."""
        return FlexibleLayer(n, cost, self.start * n, self.steepness, self.random_slope)

"""A width that is one parameter for each layer: kept as a baseline that the other filters beat."""

from typing import Annotated, Any

from pydantic import Field

from cl_sparse.layers import FlexibleLayer
from cl_sparse.synapses.filtered_units import Decay, FilteredUnits


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
    ) -> None:
        super().__init__(strength, decay, filter_lr)
        if not 0 <= start <= 1:
            raise ValueError(f"start must be from 0 to 1, not {start}")
        FlexibleLayer(1, steepness=steepness)  # is for it to refuse
        self.start, self.steepness, self.random_slope = start, steepness, random_slope

    def statistics(self) -> dict[str, Any]:
        """Return the area of each hidden layer's window in units, by layer."""
        windows = {layer: own for layer, (_, own) in self.filters.items() if isinstance(own, FlexibleLayer)}
        return {"sizes": {layer: float(own.size().detach()) for layer, own in windows.items()}}

    def make(self, n: int, cost: float) -> FlexibleLayer:
        """Return a filter for n units."""
        return FlexibleLayer(n, cost, self.start * n, self.steepness, self.random_slope)

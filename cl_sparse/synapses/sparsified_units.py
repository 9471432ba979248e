"""Units that an L1 cost on their filters lets go."""

from typing import Annotated, Literal

from pydantic import Field

from cl_sparse.layers import Sparsifier
from cl_sparse.synapses.filtered_units import Decay, FilteredUnits, Protect, Samples, Threshold


class SparsifiedUnits(FilteredUnits):
    """h = ReLU(W·x + b)·ReLU(f) in each hidden layer, at the cost λ·Σ ReLU(f) (see ``Sparsifier``).

    Args:
        strength: λ, at least 0; of a convolution's channel times the area of its kernel.
        decay: what λ is divided by after each epoch of a task, at least 1.
        filter_lr: learning rate of the filters; None: that of the weights. They never decay.
        start: f = 1, or drawn from (0, 1].
        protect: whose filters are exempt and frozen from the end of a task on: nobody's; those of all units that live;
            or of those without which the loss on the task's data rises by more than ``threshold``.
        threshold: see ``protect``.
        samples: the task's first ones, on which that is measured.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        strength: Annotated[float, Field(ge=0, description="λ: what a filter of 1 costs.")] = 1e-3,
        decay: Decay = 1.0,
        filter_lr: Annotated[
            float | None, Field(gt=0, description="Learning rate of the filters; null: that of the weights.")
        ] = None,
        start: Annotated[Literal["one", "uniform"], Field(description="f = 1, or drawn from (0, 1].")] = "one",
        protect: Annotated[
            Protect,
            Field(description="Filters exempt and frozen after a task: none, of all that live, or of important units."),
        ] = "none",
        threshold: Threshold = 1e-3,
        samples: Samples = 1000,
    ) -> None:
        super().__init__(strength, decay, filter_lr, protect, threshold, samples)
        if start not in ("one", "uniform"):
            raise ValueError(f"start must be one or uniform, not {start}")
        self.start = start

    def make(self, n: int, cost: float) -> Sparsifier:
        """Return a filter for n units."""
        return Sparsifier(n, cost, self.start)

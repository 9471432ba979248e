"""What readouts that are solved from a shrunk covariance share: the sums, and how strong the ridge is."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from cl_sparse.synapses.readouts.choosing import least_cross_validation
from cl_sparse.synapses.readouts.moments import Moments
from cl_sparse.synapses.readouts.readout import Readout


class ShrunkReadout(Readout):
    """A readout from :class:`Moments` with a ridge on the correlations.

    Args:
        features, outputs: as for :class:`Readout`.
        ridge: shrinkage of the correlations, above 0; null: what :func:`least_cross_validation` says.
        max_bytes: of the sums that are carried; null: 32 bits for every number.
    """

    def __init__(
        self,
        features: int,
        outputs: Sequence[int],
        ridge: Annotated[
            float | None,
            Field(gt=0, description="Added to the diagonal of the correlations; null: chosen by cross-validation."),
        ] = 1e-2,
        max_bytes: Annotated[int | None, Field(ge=1, description="Of the sums that are carried; null: any.")] = None,
    ) -> None:
        super().__init__(features, outputs)
        self.ridge = ridge
        self.moments = Moments(features, len(outputs), max_bytes)

    def update(self, x: Tensor, classes: Tensor) -> None:
        """See the base class."""
        self.moments.add(x, classes)

    def strength(self) -> float:
        """Return the ridge, as given or as chosen for the samples so far."""
        return self.ridge or least_cross_validation(self.moments)

"""What readouts that are solved from a shrunk covariance share: the sums, and how strong the ridge is."""

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from cl_sparse.errors import SettingError
from cl_sparse.synapses.readouts.choosing import RIDGES, least_cross_validation
from cl_sparse.synapses.readouts.moments import Moments
from cl_sparse.synapses.readouts.readout import Readout
from cl_sparse.synapses.readouts.solving import solve_shrunk


class ShrunkReadout(Readout):
    """A readout from :class:`Moments` with a ridge on the correlations.

    Args:
        features, outputs: as for :class:`Readout`.
        ridge: shrinkage of the correlations, above 0; null: what :func:`least_cross_validation` says.
        max_bytes: of the sums that are carried; null: 32 bits for every number.
    """

    squares = 3

    def __init__(
        self,
        features: int,
        outputs: Sequence[int],
        ridge: Annotated[
            float | None,
            Field(gt=0, le=1e6, description="Added to the correlations' diagonal; null: chosen by cross-validation."),
        ] = 1e-2,
        max_bytes: Annotated[int | None, Field(ge=1, description="Of the sums that are carried; null: any.")] = None,
    ) -> None:
        super().__init__(features, outputs)
        self.ridge = ridge
        self.moments = Moments(features, len(outputs), max_bytes)

    def update(self, x: Tensor, classes: Tensor) -> None:
        """See the base class."""
        self.moments.add(x, classes)

    def solution(self, covariance: Callable[[], Tensor], right: Tensor) -> Tensor:
        """Return (Σ + ridge·diag(Σ))⁻¹·B; a ridge that is chosen is never below the rounding of what is carried.

        Args:
            covariance: makes Σ (d, d), which is overwritten.
            right: B (d, m).

        Raises:
            SettingError: the ridge that was given is below it.
        """
        if self.ridge is not None:
            return solve_shrunk(covariance(), right, self.ridge)
        *smaller, largest = [ridge for ridge in RIDGES if ridge >= least_cross_validation(self.moments)]
        for ridge in smaller:
            try:
                return solve_shrunk(covariance(), right, ridge)
            except SettingError:
                continue
        return solve_shrunk(covariance(), right, largest)

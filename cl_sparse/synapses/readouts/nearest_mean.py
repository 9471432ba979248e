"""The class whose mean is nearest."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cl_sparse.synapses.readouts.readout import Readout


class NearestMean(Readout):
    """Nearest class mean: w_c = μ_c, b_c = −½·|μ_c|², which ranks the classes by their Euclidean distance.

    Args:
        features, outputs: as for :class:`Readout`.
    """

    counts: Tensor
    sums: Tensor

    def __init__(self, features: int, outputs: Sequence[int]) -> None:
        super().__init__(features, outputs)
        self.register_buffer("counts", torch.zeros(len(outputs)))
        self.register_buffer("sums", torch.zeros(len(outputs), features))

    @torch.no_grad()
    def update(self, x: Tensor, classes: Tensor) -> None:
        """See the base class."""
        self.sums.index_add_(0, classes, x)
        self.counts += torch.bincount(classes, minlength=len(self.counts)).to(self.counts)

    @torch.no_grad()
    def solve(self) -> None:
        """See the base class."""
        self.weight.copy_(self.sums / self.counts.clamp(min=1)[:, None])
        self.bias.copy_(torch.where(self.counts > 0, -0.5 * self.weight.square().sum(1), -torch.inf))

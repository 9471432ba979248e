"""Activities of which only the units that are on are written down."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Winners:
    """The activities of a layer of which few units are on: for each sample, which units, and their values.

    What a compact layer passes on in place of a dense (B, n) tensor. ``shape``, ``numel``, ``detach`` and indexing by
    rows are those of the dense tensor, which :meth:`dense` gives.

    Attributes:
        indices: (B, m) long, the units that are on; -1 for an entry that stands for nothing (a dropped unit). No unit
            is there twice in a sample.
        values: (B, m) their values, 0 where the index is -1. The gradient flows through them.
        n: number of units of the layer.
    """

    indices: Tensor
    values: Tensor
    n: int

    @property
    def shape(self) -> torch.Size:
        """Shape of the dense tensor, (B, n)."""
        return torch.Size((self.indices.shape[0], self.n))

    def numel(self) -> int:
        """Return the number of elements of the dense tensor."""
        return self.shape.numel()

    def detach(self) -> "Winners":
        """Return the same activities without gradient."""
        return Winners(self.indices, self.values.detach(), self.n)

    def __getitem__(self, rows: Tensor) -> "Winners":
        """Return the activities of the samples ``rows``, a long tensor or a bool mask."""
        return Winners(self.indices[rows], self.values[rows], self.n)

    def dense(self) -> Tensor:
        """Return the (B, n) tensor that is 0 where no unit is on; the gradient flows back to :attr:`values`."""
        # The empty entries write into one column more, which is then cut off.
        columns = torch.where(self.indices < 0, self.n, self.indices)
        wide = self.values.new_zeros(self.indices.shape[0], self.n + 1)
        return wide.scatter(1, columns, self.values)[:, : self.n]

    def on_counts(self) -> Tensor:
        """Return how often each unit is above zero in the batch, long (n,)."""
        return torch.bincount(self.indices[self.values > 0], minlength=self.n)

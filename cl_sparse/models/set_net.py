"""Multi-layer perceptrons whose connections evolve, for a training loop of one's own (SET: Mocanu et al. 2018)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from cl_sparse.layers import SETLinear


class SparseNet(nn.Module):
    """[SETLinear → ReLU] for each pair of widths → Linear.

    A loop of one's own calls :meth:`evolve_connections` before every epoch but the first, and
    :meth:`zero_connections` after every epoch, before it tests. In an experiment the plugin ``set_layers`` does both.

    Args:
        widths: of the inputs, flattened, and of each hidden layer.
        n_outputs: of the last layer, which is dense.
        epsilon, zeta: as :class:`cl_sparse.layers.SETLinear`.

    Shapes: input (B, ...), flattened to (B, widths[0]); output (B, n_outputs).

    Raises:
        ValueError: there is no hidden layer; or as :class:`cl_sparse.layers.SETLinear`.
    """

    def __init__(
        self, widths: Sequence[int] = (784, 512, 128), n_outputs: int = 10, epsilon: float = 11.0, zeta: float = 0.3
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"widths of the inputs and of a hidden layer are needed, not {list(widths)}")
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, units in pairwise(widths):
            layers += [SETLinear(inputs, units, epsilon=epsilon, zeta=zeta), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.layers(x)
        return logits

    def sparse_layers(self) -> list[SETLinear]:
        """Return the layers whose connections evolve."""
        return [layer for layer in self.layers if isinstance(layer, SETLinear)]

    def zero_connections(self) -> None:
        """Set the weights that are to go to 0."""
        for layer in self.sparse_layers():
            layer.zero_connections()

    def evolve_connections(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Move the connections that are to go; what ``optimizer`` keeps for them is forgotten."""
        for layer in self.sparse_layers():
            layer.evolve_connections(optimizer)


class EvolNet(SparseNet):
    """A SparseNet each of whose layers evolves before a training pass with probability p/2.

    Args:
        p: twice the probability.
        widths, n_outputs, epsilon, zeta: as :class:`SparseNet`.

    Attributes:
        optimizer: what trains the net, so that it forgets what it keeps for connections that move; None: it does not.

    Raises:
        ValueError: p is not from 0 to 1; or as :class:`SparseNet`.
    """

    def __init__(
        self,
        p: float = 0.05,
        widths: Sequence[int] = (784, 512, 128),
        n_outputs: int = 10,
        epsilon: float = 11.0,
        zeta: float = 0.3,
    ) -> None:
        super().__init__(widths, n_outputs, epsilon, zeta)
        if not 0 <= p <= 1:
            raise ValueError(f"p must be from 0 to 1, not {p}")
        self.p = p
        self.optimizer: torch.optim.Optimizer | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Evolve, if it trains and chance has it; return the logits."""
        if self.training and torch.is_grad_enabled():
            for layer in self.sparse_layers():
                if float(torch.rand(())) < self.p / 2:
                    layer.evolve_connections(self.optimizer)
        return super().forward(x)

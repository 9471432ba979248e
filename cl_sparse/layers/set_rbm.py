"""A restricted Boltzmann machine of few connections that evolve (SET-RBM: Mocanu et al. 2018)."""

import torch
from torch import Tensor, nn

from cl_sparse.layers.set_linear import SETLinear
from cl_sparse.layers.sparse_product import sparse_product
from cl_sparse.wiring.rewire import Rewired


class SetRBM(nn.Module):
    """Hidden units h that are 0 or 1, visible ones v from 0 to 1, and a :class:`SETLinear` W between them.

    p(h = 1 | v) = σ(v·Wᵀ + b), v given h is σ(h·W + a), and v has the free energy
    F(v) = −v·a − Σ log(1 + exp(v·Wᵀ + b)), summed over the hidden units. Contrastive divergence (Hinton 2002) steps
    down F(v) − F(v′), v′ being the end of a chain of Gibbs steps from v. The gradient is that of :meth:`contrast`; any
    optimizer takes the step. Only connections that are there have a weight, a gradient and a momentum.

        loss, _ = rbm.contrast(batch)
        optimizer.zero_grad()
        loss.backward()
        rbm.decay(2e-4)
        optimizer.step()

    and, after an epoch, ``rbm.evolve(optimizer)``. Weights are drawn as those of :class:`SETLinear`; biases start at 0.

    Args:
        visible: number of visible units.
        hidden: number of hidden units.
        epsilon, zeta, device, dtype: as :class:`SETLinear`.

    Attributes:
        connections: W and b.
        visible_bias: a, (visible,).

    Raises:
        ValueError: as :class:`SETLinear`.
    """

    def __init__(
        self,
        visible: int,
        hidden: int,
        *,
        epsilon: float = 11.0,
        zeta: float = 0.3,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.connections = SETLinear(visible, hidden, epsilon=epsilon, zeta=zeta, device=device, dtype=dtype)
        assert self.connections.bias is not None
        nn.init.zeros_(self.connections.bias)
        self.visible_bias = nn.Parameter(torch.zeros(visible, device=device, dtype=dtype))

    def forward(self, v: Tensor) -> Tensor:
        """Return the probabilities (B, hidden) that hidden units are 1, given visible ones (B, visible)."""
        return torch.sigmoid(self.connections(v))

    @torch.no_grad()
    def visible(self, h: Tensor) -> Tensor:
        """Return the visible units (B, visible), given hidden ones (B, hidden)."""
        values = self.connections.values
        drive = sparse_product(h.to(values), values, self.connections.layout.reversed())
        return torch.sigmoid(drive + self.visible_bias)

    def free_energy(self, v: Tensor) -> Tensor:
        """Return F(v), (B,), of visible units (B, visible)."""
        return self._free_energy(v, self.connections(v))

    def contrast(self, v: Tensor, steps: int = 1, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return what contrastive divergence steps down, and the reconstruction.

        Hidden units of the chain are drawn, visible ones are probabilities, and both ends count with probabilities.

        Args:
            v: (B, visible), from 0 to 1.
            steps: of the chain, at least 1.
            generator: on the CPU, draws the hidden units; default: torch's global one.

        Returns:
            The mean over the samples of F(v) − F(v′); and v′, (B, visible), without gradient.

        Raises:
            ValueError: there is no step.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        drive = self.connections(v)
        chance = torch.sigmoid(drive.detach())
        with torch.no_grad():
            end = self.visible(_drawn(chance, generator))
            for _ in range(steps - 1):
                end = self.visible(_drawn(self(end), generator))
        return (self._free_energy(v, drive) - self.free_energy(end)).mean(), end

    @torch.no_grad()
    def decay(self, share: float) -> None:
        """Take a share from every weight, not from biases; the source's weight decay is that, whatever the step."""
        self.connections.values.mul_(1 - share)

    def evolve(
        self, optimizer: torch.optim.Optimizer | None = None, generator: torch.Generator | None = None
    ) -> Rewired:
        """Move the smallest weights of each sign, a share zeta, anywhere; see :meth:`SETLinear.evolve_connections`."""
        return self.connections.evolve_connections(optimizer, generator)

    def _free_energy(self, v: Tensor, drive: Tensor) -> Tensor:
        return -(v @ self.visible_bias) - nn.functional.softplus(drive).sum(-1)


def _drawn(chance: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return 1 with these probabilities, else 0."""
    return (torch.rand(chance.shape, generator=generator).to(chance) < chance).to(chance)

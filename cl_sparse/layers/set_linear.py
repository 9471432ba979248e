"""A linear layer of few connections that evolve (SET: Mocanu et al. 2018)."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cl_sparse.layers.sparse_linear import Inputs, Method, SparseLinear
from cl_sparse.layers.sparse_state import places
from cl_sparse.wiring.places import draw_distinct, draw_free
from cl_sparse.wiring.rewire import Rewired

Evolution = tuple[Tensor, tuple[Tensor, Tensor], Tensor]
"""Positions of the connections that go, unit and input of those that come, and their weights."""


class SETLinear(SparseLinear):
    """y = x·Wᵀ + b with int(epsilon·(inputs + units)) connections anywhere, of which some move now and then.

    Weights and biases are drawn from N(0, 2/inputs), as a dense layer's. Connections are stored, saved and moved as
    :class:`SparseLinear` does, of which this is one.

    Args:
        in_features: number of inputs.
        out_features: number of units.
        epsilon: decides the number of connections, unless that is given by
        density: the share of the places that are connected; or
        indices: (2, nnz) long, unit and input of every connection, in any order.
        zeta: share of the positive connections, and of the negative ones, that go at each evolution, rounded down.
        bias: whether the units have a bias.
        inputs, method, device, dtype: as :class:`SparseLinear`.

    Attributes:
        marked: bool (nnz,), what :meth:`zero_connections` has taken and :meth:`evolve_connections` is to move.

    Raises:
        ValueError: the density is not from 0 to 1, epsilon is too large for it, or zeta is not from 0 to 1.
    """

    marked: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        epsilon: float = 11.0,
        density: float | None = None,
        indices: Tensor | None = None,
        zeta: float = 0.3,
        bias: bool = True,
        inputs: Inputs = "any",
        method: Method = "auto",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not 0 <= zeta <= 1:
            raise ValueError(f"zeta must be from 0 to 1, not {zeta}")
        if indices is None:
            indices = _anywhere(in_features, out_features, epsilon, density)
        super().__init__(
            in_features,
            out_features,
            indices=indices,
            bias=bias,
            inputs=inputs,
            method=method,
            device=device,
            dtype=dtype,
        )
        self.zeta = zeta
        self.register_buffer("marked", torch.zeros_like(self.values, dtype=torch.bool))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and biases from N(0, 2/inputs)."""
        for parameter in (self.values, self.bias):
            if parameter is not None:
                parameter.normal_(0, self._deviation())

    @torch.no_grad()
    def zero_connections(self, among: Tensor | None = None) -> None:
        """Set the weights that are to go to 0, and remember them; what was remembered before is forgotten.

        Args:
            among: bool (nnz,), the connections that may go; None: all.
        """
        self.marked = self._smallest(among)
        self.values[self.marked] = 0

    @torch.no_grad()
    def evolve_connections(
        self, optimizer: torch.optim.Optimizer | None = None, generator: torch.Generator | None = None
    ) -> Rewired:
        """Move the remembered connections, or those that are to go now, to places anywhere that have none.

        Args:
            optimizer: what trains the layer: it forgets what it keeps for them, whatever it keeps. Where a ``Ledger``
                has it, let the ledger rewire by :meth:`evolution`.
            generator: draws places and weights; default: torch's global one.

        Returns:
            Which old connection each new one was.
        """
        before = self.values.shape
        moved = self.rewire(*self.evolution(generator))
        kept = {} if optimizer is None else optimizer.state.get(self.values, {})
        for name, numbers in kept.items():
            if isinstance(numbers, Tensor) and numbers.dim() and numbers.shape == before:
                kept[name] = moved.carry(numbers)
        return moved

    @torch.no_grad()
    def evolution(self, generator: torch.Generator | None = None, among: Tensor | None = None) -> Evolution:
        """Return what an evolution would do: as many come as go, no more than there are free places.

        Args:
            generator: draws places and weights; default: torch's global one.
            among: bool (nnz,), the connections that may go; None: all.
        """
        gone = self.marked if bool(self.marked.any()) else self._smallest(among)
        drop = (gone if among is None else gone & among).nonzero().flatten()
        taken = self.indices[0] * self.in_features + self.indices[1]
        n = min(len(drop), self.in_features * self.out_features - len(taken))
        place = draw_free(taken, self.in_features * self.out_features, n, generator)
        weights = torch.randn(n, generator=generator) * self._deviation()
        if n < len(drop):  # any of them
            drop = drop[torch.randperm(len(drop), generator=generator)[:n]]
        return drop, (place // self.in_features, place % self.in_features), weights.to(self.values)

    def connections_per_input(self) -> Tensor:
        """Return how many units read each input, long (inputs,)."""
        return torch.bincount(self.indices[1], minlength=self.in_features)

    def rewire(self, drop: Tensor, grow: tuple[Tensor, Tensor], new_values: Tensor | None = None) -> Rewired:
        """As :meth:`SparseLinear.rewire`; connections that come are not marked."""
        moved = super().rewire(drop, grow, new_values)
        self.marked = moved.carry(self.marked, 0)
        return moved

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return f"{super().extra_repr()}, zeta={self.zeta}"

    def _smallest(self, among: Tensor | None) -> Tensor:
        """Return the connections that go: of each sign int(zeta·n), the smallest; 0 is positive. Bool (nnz,)."""
        values = self.values.detach()
        smallest = torch.zeros_like(values, dtype=torch.bool)
        may_go = ~smallest if among is None else among
        for sign in ((values >= 0) & may_go, (values < 0) & may_go):
            there = sign.nonzero().flatten()
            order = values[there].abs().argsort(stable=True)
            smallest[there[order[: int(self.zeta * len(there))]]] = True
        return smallest

    def _deviation(self) -> float:
        return math.sqrt(2 / max(1, self.in_features))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Accept also the states that :class:`SparseLinear` accepts: there nothing is marked."""
        found = places({name.removeprefix(prefix): x for name, x in state_dict.items() if name.startswith(prefix)})
        if found is not None:
            nothing = torch.zeros(found[2].shape, dtype=torch.bool, device=self.values.device)
            self.marked = nothing.clone()
            state_dict = {f"{prefix}marked": nothing, **state_dict}
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _anywhere(inputs: int, units: int, epsilon: float, density: float | None) -> Tensor:
    positions = inputs * units
    wanted = epsilon * (inputs + units) if density is None else density * positions
    if not 0 <= wanted <= positions:
        if density is not None:
            raise ValueError(f"density must be from 0 to 1, not {density}")
        most = positions / max(1, inputs + units)
        raise ValueError(f"epsilon must be from 0 to {most:g} for {inputs} inputs and {units} units, not {epsilon:g}")
    place = draw_distinct(positions, int(wanted))
    return torch.stack([place // inputs, place % inputs])

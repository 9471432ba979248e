"""Hidden layers of few connections, some of which move between epochs or steps (SET: Mocanu et al. 2018)."""

from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers import SETLinear
from cl_sparse.metrics import is_square, square_means
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.step import Step


class SetLayers(Mechanism):
    """Put a :class:`cl_sparse.layers.SETLinear` in the place of each hidden linear layer, and let it evolve.

    After every epoch, before any test, the weights that are to go become 0; before the next they move, and the
    optimizer remembers nothing of them. With ``chance`` they move between steps instead, and none is set to 0.
    Connections whose updates another mechanism has slowed or frozen stay as they are.

    Args:
        epsilon: a layer has int(epsilon·(inputs + units)) connections.
        zeta: share of each sign that goes.
        chance: of each layer before each step, twice over: it evolves with probability chance/2. None: between epochs.

    Raises:
        ValueError: a number is out of range.
    """

    one_net = True
    follows_units = False

    def __init__(
        self,
        epsilon: Annotated[float, Field(ge=0, description="Connections per input and unit of a layer.")] = 11.0,
        zeta: Annotated[float, Field(ge=0, le=1, description="Share of each sign that goes.")] = 0.3,
        chance: Annotated[
            float | None,
            Field(ge=0, le=1, description="Twice a layer's chance per step; null: between epochs."),
        ] = None,
    ) -> None:
        if epsilon < 0 or not 0 <= zeta <= 1 or not (chance is None or 0 <= chance <= 1):
            raise ValueError(f"epsilon must be at least 0, zeta and chance 0 to 1, not {epsilon}, {zeta}, {chance}")
        self.epsilon, self.zeta, self.chance = epsilon, zeta, chance
        self.needs = Needs.BOUNDARIES if chance is None else Needs.TOUCHED
        self._squares: list[list[float]] = []
        self._evolutions = 0
        self._task = 0

    def wrap(self, net: nn.Module, n_tasks: int) -> nn.Module:
        """Replace the dense layers below the head, in place.

        Raises:
            ValueError: there are none, or epsilon is too large for one.
        """
        features = getattr(net, "features", None)
        layers = features.named_children() if isinstance(features, nn.Module) else ()
        found = [(name, module) for name, module in layers if type(module) is nn.Linear]
        if not found or not isinstance(features, nn.Module):
            raise ValueError("no hidden layer is a dense linear one: one MLP is needed, of weight_sparsity_fc 1")
        for name, dense in found:
            try:
                layer = SETLinear(dense.in_features, dense.out_features, epsilon=self.epsilon, zeta=self.zeta)
            except ValueError as error:
                raise ValueError(f"features.{name}: {error}") from error
            features.set_submodule(name, layer)
        return net

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Find the layers.

        Raises:
            ValueError: there are none.
        """
        self.ledger, self.generator = ledger, generator
        if not self._layers():
            raise ValueError("no layer is a SETLinear")

    def before_task(self, task: int) -> None:
        """Note which it is."""
        self._task = task

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Let all layers evolve, but for the very first epoch."""
        if self.chance is None and (epoch or self._task):
            for name in self._layers():
                self._evolve(name)

    def after_step(self, step: Step) -> None:
        """Let some layers evolve before the next step."""
        for name in self._layers():
            if self.chance is not None and float(torch.rand((), generator=self.generator)) < self.chance / 2:
                self._evolve(name)

    def after_epoch(self) -> None:
        """Set what is to go to 0, and look at where the first layer's connections are."""
        layers = self._layers()
        if self.chance is None:
            for name, layer in layers.items():
                layer.zero_connections(self._may_go(name))
        if is_square(next(iter(layers.values())).in_features):
            self._squares.append(square_means(self._connections()).tolist())

    def _evolve(self, name: str) -> None:
        found = self.ledger.synapses[name]
        layer = self._layers()[name]
        self.ledger.rewire(found, *layer.evolution(self.generator, self._may_go(name)))
        self._evolutions += 1

    def _may_go(self, name: str) -> Tensor | None:
        scale = self.ledger.steps.scale_of(name)
        return None if scale is None else scale == 1

    def _layers(self) -> dict[str, SETLinear]:
        found = self.ledger.synapses.items()
        return {name: synapses.module for name, synapses in found if isinstance(synapses.module, SETLinear)}

    def _connections(self) -> Any:
        first = next(iter(self._layers().values()))
        return first.connections_per_input().cpu().numpy()

    def statistics(self) -> dict[str, Any]:
        """Return how often layers evolved, and of the first layer the connections of each input, (inputs,).

        Where the inputs are a square image also their mean within squares around its centre, (epochs, side/2).
        """
        squares = {"squares": np.array(self._squares)} if self._squares else {}
        return {"evolutions": self._evolutions, "connections": self._connections(), **squares}

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted."""
        return {"squares": self._squares, "evolutions": self._evolutions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self._squares, self._evolutions = [list(means) for means in state["squares"]], int(state["evolutions"])

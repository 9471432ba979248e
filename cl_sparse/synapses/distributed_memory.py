"""Sparse distributed memory: units whose weights are addresses, non-negative and of one length, read by inhibition."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers.inhibited_winners import InhibitedWinners
from cl_sparse.layers.k_winners import KWinners, KWinnersBase
from cl_sparse.layers.parts import PartsOfNet, refuse_live
from cl_sparse.layers.sparse_weights import rezero_weights
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs


class DistributedMemory(Mechanism):
    """Sparse distributed memory as an MLP, SDMLP (Bricken, Davies, Singh, Krotov and Kreiman 2023).

    No layer has a bias. After every step all weights are cut off at 0 from below, and those of each hidden unit, its
    address, scaled to length 1 (one that has none left stays 0); so is every hidden layer's input. K-winners win by
    inhibition, see ``InhibitedWinners``. The authors use plain SGD, since momentum goes on moving synapses of units
    that no longer win, inputs that are not negative, and one hidden layer; here there may be several.

    Args:
        switch: samples in which a unit is active until inhibition has become full.

    Raises:
        ValueError: it is not above 0.
    """

    needs = Needs.ALL
    looks_at_steps = False
    follows_units = False

    def __init__(
        self,
        switch: Annotated[
            float, Field(gt=0, description="Samples in which a unit is active until inhibition is full.")
        ] = 10_000.0,
    ) -> None:
        if not switch > 0:
            raise ValueError(f"switch must be above 0, not {switch}")
        self.switch = switch

    def wrap(self, net: nn.Module, n_tasks: int) -> nn.Module:
        """Give the net such winners and weights, in place.

        Raises:
            ValueError: a hidden layer is a convolution or stores its live synapses only, or its units are no k-winners;
                or the net is one of parts.
        """
        refuse_live(net)
        if any(isinstance(module, PartsOfNet) for module in net.modules()):
            raise ValueError("a method that gives each task a part of the net does not go with it")
        if any(isinstance(module, nn.Conv2d) for module in net.modules()):
            raise ValueError("a net of linear layers is needed")
        hidden = _addresses(net)
        winners = {name: module for name, module in net.named_modules() if isinstance(module, KWinnersBase)}
        if not winners or len(winners) != len(hidden):
            raise ValueError("k-winners are needed behind every hidden layer: sparsify: true, percent_on_fc below 1")
        for name, found in winners.items():
            assert isinstance(found, KWinners)
            own = InhibitedWinners(found.n, found.percent_on, found.k_inference_factor, self.switch)
            net.set_submodule(name, own)
        for layer in hidden:
            layer.register_forward_pre_hook(_to_length_one)
        for layer in _layers(net):
            layer.register_parameter("bias", None)
        _restrict(net)
        return net

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Take part.

        Raises:
            ValueError: the ledger's net is not one that :meth:`wrap` returned.
        """
        if not any(isinstance(module, InhibitedWinners) for module in ledger.model.modules()):
            raise ValueError("give the optimizer and the ledger the net that wrap(net, n_tasks) returns")
        self.ledger = ledger

    def after_step(self, step: object) -> None:
        """Cut the weights off at 0, and scale the addresses."""
        _restrict(self.ledger.model)


def _layers(net: nn.Module) -> list[nn.Linear]:
    return [module for module in net.modules() if isinstance(module, nn.Linear)]


def _addresses(net: Any) -> list[nn.Linear]:
    """Return the hidden layers; of a masked one the layer inside."""
    if not hasattr(net, "consumers"):
        raise ValueError("the net has to say in consumers() who reads the units of its layers")
    found = [net.get_submodule(name) for name in net.consumers()]
    return [layer for module in found for layer in _layers(module)]


@torch.no_grad()
def _restrict(net: nn.Module) -> None:
    rezero_weights(net)
    for layer in _layers(net):
        layer.weight.clamp_(min=0)
    for layer in _addresses(net):
        nn.functional.normalize(layer.weight, dim=1, out=layer.weight)


def _to_length_one(_: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    return nn.functional.normalize(inputs[0], dim=1)

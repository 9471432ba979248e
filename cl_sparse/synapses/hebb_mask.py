"""Masks over the weights of some layers: by Hebbian learning, by magnitude, by chance."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from cl_sparse.config.wording import near
from cl_sparse.layers import HebbMask, LayerMask, MagnitudeMask, RandomMask, SparseLinear
from cl_sparse.layers.consumers import WEIGHT_LAYERS
from cl_sparse.layers.parts import PartsOfNet
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism

Rule = Literal["product", "contribution", "sign", "magnitude", "random"]


class HebbMasks(Mechanism):
    """Let some layers compute with some of their weights only: a mask of :mod:`cl_sparse.layers` is put over each.

    The masks of "product", "contribution" and "sign" are those of ``HebbMask``, moved by each training pass;
    "magnitude" is ``MagnitudeMask`` and "random" ``RandomMask``. A weight that is masked is still a synapse, which may
    come back: numbers of live synapses count it, and the share in use is in :meth:`statistics`.

    Args:
        rule: what decides which weights are in use.
        lr: rate of a Hebbian permanence.
        density: share of each layer's weights that are in use; None, for Hebbian rules: those of a permanence above 0.
        reduce: whether a Hebbian rule takes the mean or the sum over samples and places.
        centred: whether it takes inputs and outputs relative to the batch's means.
        layers: names of the layers; None: the output layers.

    Raises:
        ValueError: an argument is out of range, or the rule needs a density.
    """

    dense_forward = True
    one_net = True
    follows_units = False

    def __init__(
        self,
        rule: Annotated[Rule, Field(description="What decides: a Hebbian rule, magnitude, or random.")] = "product",
        lr: Annotated[float, Field(ge=0, description="Rate of the permanence (Hebbian rules).")] = 0.1,
        density: Annotated[
            float | None,
            Field(gt=0, le=1, description="Share of weights in use; null: of permanence above 0 (Hebbian rules)."),
        ] = None,
        reduce: Annotated[
            Literal["mean", "sum"], Field(description="Over samples and places (Hebbian rules).")
        ] = "mean",
        centred: Annotated[
            bool, Field(description="Activities relative to the mini-batch's means (Hebbian rules).")
        ] = False,
        layers: Annotated[
            list[str] | None,
            Field(description="Layers by name, as [features.fc1, classifier.linear]; null: the output layers."),
        ] = None,
    ) -> None:
        if rule in ("magnitude", "random") and density is None:
            raise ValueError(f"rule {rule} needs a density")
        self.rule, self.lr, self.density, self.reduce, self.centred = rule, lr, density, reduce, centred
        self.layers = layers
        with torch.random.fork_rng(devices=[]):
            self.make(nn.Linear(1, 1))  # is for it to refuse
        self._shares: list[dict[str, float]] = []

    def make(self, layer: nn.Module) -> LayerMask:
        """Return a layer with its mask; what is random in it is drawn from torch's global random numbers."""
        if self.rule == "magnitude" or self.rule == "random":
            assert self.density is not None
            kind = MagnitudeMask if self.rule == "magnitude" else RandomMask
            return kind(layer, density=self.density)
        return HebbMask(layer, ["weight"], self.lr, self.rule, self.reduce, self.centred, self.density)

    def wrap(self, net: nn.Module, n_tasks: int) -> nn.Module:
        """Put the masks over the layers, in place.

        Raises:
            ValueError: there is no such layer, or it is no dense linear one or convolution; or another method has made
                parts of the net already.
        """
        if any(isinstance(module, PartsOfNet) for module in net.modules()):
            raise ValueError("a method that gives each task a part of the net has to be named after it")
        for name in _output_layers(net) if self.layers is None else self.layers:
            net.set_submodule(name, self._masked(net, name))
        return net

    def _masked(self, net: nn.Module, name: str) -> LayerMask:
        layer = dict(net.named_modules()).get(name)
        if layer is None or not name:
            known = [own for own, module in net.named_modules() if isinstance(module, WEIGHT_LAYERS)]
            raise ValueError(f"layers: there is no layer {name!r}{near(name, known)}")
        if isinstance(layer, SparseLinear):
            raise ValueError(f"{name} stores its live synapses only: choose weights: masked, or another layer")
        if type(layer) not in (nn.Linear, nn.Conv2d):
            raise ValueError(f"{name} is a {type(layer).__name__}: what can be masked is a dense Linear or Conv2d")
        return self.make(layer)

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Find the masks.

        Raises:
            ValueError: there are none.
        """
        self.ledger = ledger
        if not self._masks():
            raise ValueError("no layer has a mask: give optimizer and ledger the net that wrap(net, n_tasks) returns")

    def after_epoch(self) -> None:
        """Note which share of each layer's weights is in use."""
        self._shares.append({name: mask.live_share() for name, mask in self._masks().items()})

    def _masks(self) -> dict[str, LayerMask]:
        modules = self.ledger.model.named_modules()
        return {name: module for name, module in modules if isinstance(module, LayerMask)}

    def statistics(self) -> dict[str, Any]:
        """Return the share of weights in use after each epoch, (epochs over all tasks,): by layer, and in all."""
        masks = self._masks()
        live = {name: np.array([shares[name] for shares in self._shares]) for name in masks}
        places = {name: mask.module.get_parameter("weight").numel() for name, mask in masks.items()}
        in_all = sum(live[name] * n for name, n in places.items()) / sum(places.values())
        return {"live": live, "live_share": in_all}

    def state_dict(self) -> dict[str, Any]:
        """Return what was noted."""
        return {"shares": self._shares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it.

        Raises:
            ValueError: it is of other layers.
        """
        shares = [{str(name): float(share) for name, share in one.items()} for one in state["shares"]]
        masks = self._masks().keys()
        if any(one.keys() != masks for one in shares):
            raise ValueError(f"the shares in use are of the layers {sorted(shares[0])}, not of {sorted(masks)}")
        self._shares = shares


def _output_layers(net: nn.Module) -> Sequence[str]:
    """Return the names of the weight layers of the net's classifier, or, if it has none, of its last weight layer."""
    found = [name for name, module in net.named_modules() if isinstance(module, WEIGHT_LAYERS)]
    outermost = [name for name in found if name.rpartition(".")[0] not in found]
    return [name for name in outermost if name.startswith("classifier.")] or outermost[-1:]

"""Sparse training of any net in a plain loop: one object made from net and optimizer, one call for each step."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.layers import SparseLinear, SparseWeights, SparseWeights2d, SparseWeightsBase, rezero_weights
from cl_sparse.synapses.connectivity_rules import smallest, wiring_of
from cl_sparse.synapses.distribution import Distribution, distribute_synapses, live_counts
from cl_sparse.synapses.dynamic_connectivity import DynamicConnectivity
from cl_sparse.synapses.leaving import left_alone
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.owned_hook import OwnedHook
from cl_sparse.synapses.synapses import Synapses


class SparseTraining:
    """Makes a net sparse, keeps it so while it is trained, and moves its synapses; then makes plain layers of it again.

    What users of other libraries look for: the scheduler of rigl-torch is ``SparseTraining(model, optimizer, density,
    DynamicConnectivity(...))`` with ``step()`` behind ``optimizer.step()``; JaxPruner's ``instant_sparsify`` is
    ``prune``; ``prepare`` and ``squash_mask`` of torch.ao.pruning are the constructor and ``bake``.

    Linear layers and convolutions are wrapped in place, in ``SparseWeights`` and ``SparseWeights2d``; parameters stay
    the same objects, so that the optimizer stays right, under new names (``fc.module.weight`` for ``fc.weight``).
    Layers that are sparse already stay as they are, so that those which store their live synapses only may take part.

    Args:
        model: the net, whose layers lie within it.
        optimizer: what trains it.
        density: share of these layers' places that live; their synapses and weights are then drawn anew, before the
            first step. None: as they are, that is, all of a dense layer's, which :meth:`prune` may thin out.
        mechanism: how synapses move; None: they stay.
        epochs: passes over the data that training will take.
        steps: optimizer steps in each.
        distribution: of synapses over layers, see :func:`cl_sparse.synapses.distribution.live_counts`.
        leave: layers that stay dense, as shell patterns of their names ("classifier*"), each that of a layer.
        seed: of what the mechanism draws. Masks are drawn from torch's global random numbers.

    Attributes:
        ledger: owns the synapses; other mechanisms may be attached to it.

    Raises:
        ValueError: no layer is left to be sparse, or an argument is out of range; or weights are to be drawn anew, and
            the optimizer has taken steps.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        density: float | None = None,
        mechanism: DynamicConnectivity | None = None,
        *,
        epochs: int = 1,
        steps: int,
        distribution: Distribution = "erdos_renyi_kernel",
        leave: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        if epochs < 1 or steps < 1:
            raise ValueError(f"epochs and steps must be at least 1, not {epochs} and {steps}")
        if density is not None and not 0 <= density <= 1:
            raise ValueError(f"density must be from 0 to 1, not {density}")
        if density is not None and _has_stepped(optimizer):
            raise ValueError("density draws the weights anew: of a net that has been trained, prune() keeps them")
        if not (mechanism is None or isinstance(mechanism, DynamicConnectivity)):
            raise ValueError(f"mechanism must be a DynamicConnectivity, or None, not {mechanism!r}")
        layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        left = left_alone(layers, leave)
        self.model, self.mechanism, self.distribution = model, mechanism, distribution
        self.epochs, self.steps, self.taken, self._begun = epochs, steps, 0, 0
        _wrap(model, left)
        if density is not None:
            distribute_synapses(model, distribution, density=density)
        self.ledger = Ledger(model, optimizer, seed)
        if mechanism is not None:
            self.ledger.attach(mechanism)
        if not self._layers():
            raise ValueError("no linear layer or convolution within the net is left to be sparse")
        self.ledger.before_task(0)
        self.ledger.before_epoch(0, epochs, steps)
        self._hook = model.register_forward_pre_hook(OwnedHook(self._begin_epoch))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Go on with a copied net."""
        self.__dict__.update(state)
        self._hook = self.model.register_forward_pre_hook(OwnedHook(self._begin_epoch))

    def __getstate__(self) -> dict[str, Any]:
        """A copy puts a hook of its own on its net."""
        return {name: value for name, value in self.__dict__.items() if name != "_hook"}

    def step(self) -> None:
        """Hold weights without a synapse at 0: to be called after each ``optimizer.step()``.

        Synapses move within the optimizer's step (``every: N``), or before the first training pass of a new epoch, so
        that a test between two epochs sees the net as it was trained.
        """
        self.taken += 1
        rezero_weights(self.model)

    def prune(self, density: float) -> None:
        """Drop the synapses with the smallest |w| at once, so that this share of all places lives.

        How many stay in each layer is said by the distribution; their weights stay as they are. Synapses whose updates
        another mechanism has slowed or frozen stay.

        Raises:
            ValueError: a layer has fewer synapses already, or more that have to stay; or the density is out of range.
                Nothing has gone then.
        """
        layers = self._layers()
        places = sum(found.positions for found in layers.values())
        counts = live_counts(
            {name: found.shape for name, found in layers.items()}, self.distribution, round(density * places)
        )
        drawn = torch.Generator().manual_seed(self.ledger.seed)
        with torch.no_grad():
            gone = {name: self._smallest(found, counts[name], drawn) for name, found in layers.items()}
            for name, found in layers.items():
                nowhere = gone[name][:0]
                self.ledger.rewire(found, gone[name], (nowhere, nowhere))

    def _smallest(self, found: Synapses, left: int, drawn: torch.Generator) -> Tensor:
        """Return the positions of the smallest weights of a layer, all but ``left``; ties at random."""
        if left > found.n_live:
            raise ValueError(f"{found.layer} has {found.n_live} synapses, fewer than {left}")
        nowhere = torch.zeros(0, dtype=torch.long)
        wiring = wiring_of(found, drawn, self.ledger.steps.scale_of(found.name), free=nowhere)
        free = int(wiring.may_go.sum())
        if found.n_live - free > left:
            raise ValueError(f"{found.layer} has {found.n_live - free} synapses that are preserved, more than {left}")
        return smallest(wiring, (found.n_live - left) / max(1, free))

    def masks(self) -> dict[str, Tensor]:
        """Return where synapses live, bool (units, inputs, ...), by the name of each sparse layer's weight."""
        masks = {}
        for name, found in self._layers().items():
            masks[name] = torch.zeros(found.shape[0], found.shape[1:].numel(), dtype=torch.bool)
            masks[name][tuple(ids.cpu() for ids in found.places())] = True
            masks[name] = masks[name].view(found.shape)
        return masks

    def bake(self) -> nn.Module:
        """Put plain layers with zeros in place of sparse ones, in place, and let go of the net; return it.

        Outputs are the same (those of layers that stored live synapses only, up to the order of sums). The weights of
        these are new parameters, which the optimizer does not know.
        """
        self._hook.remove()
        rezero_weights(self.model)
        if self.mechanism is not None:
            self.mechanism.let_go()
        self.ledger.let_go()
        for found in self._layers().values():
            module = found.module.to_masked() if isinstance(found.module, SparseLinear) else found.module
            assert isinstance(module, SparseWeightsBase)
            _put(self.model, found.layer, module.module)
        return self.model

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive a restart beside the net (which holds the masks) and the optimizer."""
        drawn = None if self.mechanism is None else self.mechanism.generator.get_state()
        return {"ledger": self.ledger.state_dict(), "taken": self.taken, "begun": self._begun, "drawn": drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it; the net and the optimizer have to be loaded before.

        Raises:
            ValueError: it is the state of another net or mechanism.
        """
        self.ledger.load_state_dict(state["ledger"])
        self.taken, self._begun = state["taken"], state["begun"]
        if self.mechanism is not None:
            self.mechanism.generator.set_state(state["drawn"])

    def _begin_epoch(self, model: nn.Module, inputs: Any) -> None:
        epoch = min(self.taken // self.steps, self.epochs - 1)
        if epoch > self._begun and model.training and torch.is_grad_enabled():
            self._begun = epoch
            self.ledger.before_epoch(epoch, self.epochs, self.steps)

    def _layers(self) -> dict[str, Synapses]:
        return {name: found for name, found in self.ledger.synapses.items() if found.stored in ("masked", "live")}


def _has_stepped(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimizer has moved anything: Adagrad has its sums from the start, of 0 steps."""
    return any(float(kept.get("step", 1)) > 0 for kept in optimizer.state.values())


def _wrap(model: nn.Module, left: Collection[str]) -> None:
    for name, module in list(model.named_modules()):
        parent = model.get_submodule(name.rpartition(".")[0])
        if not name or isinstance(parent, SparseWeightsBase) or name in left:
            continue
        for plain, wrapper in ((nn.Linear, SparseWeights), (nn.Conv2d, SparseWeights2d)):
            if type(module) is plain:
                _put(model, name, wrapper(module, sparsity=0.0, allow_extremes=True))


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module.train(model.training))

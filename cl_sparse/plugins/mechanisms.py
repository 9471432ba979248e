"""Mechanisms for synapses in Avalanche's loop: one plugin, one ledger."""

from typing import Any

import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.training.plugins import (
    CWRStarPlugin,
    EWCPlugin,
    MASPlugin,
    RWalkPlugin,
    SynapticIntelligencePlugin,
)

from cl_sparse.plugins.base import Plugin
from cl_sparse.plugins.batches import Batches
from cl_sparse.synapses import Ledger, Mechanism, Needs

# Methods of Avalanche's that keep numbers by the place of a weight in its parameter.
BY_PLACE = (CWRStarPlugin, EWCPlugin, MASPlugin, RWalkPlugin, SynapticIntelligencePlugin)


class Mechanisms(Plugin):
    """Let mechanisms of :mod:`cl_sparse.synapses` take part in an Avalanche strategy.

    Each training experience is a task. Mechanisms that are to follow each other's changes have to be in one plugin: a
    strategy has one ledger.

    Args:
        mechanisms: by name; what one draws at random derives from its name.
        seed: of all they draw.

    Attributes:
        needing_all: names of the mechanisms that need all weights and gradients at every step, or all units computed.
        fractional: names of those that scale updates by factors other than 0 and 1.
        ledger: owns the synapses, from the first training on (or from :meth:`bind` on).
    """

    def __init__(self, mechanisms: dict[str, Mechanism], seed: int = 0) -> None:
        """Hold the mechanisms; nothing is attached yet."""
        super().__init__()
        self.mechanisms = mechanisms
        self.seed = seed
        self.ledger: Ledger | None = None
        told = [mechanism.task_info for mechanism in mechanisms.values()]
        self.uses_task_boundaries = any(told_in_training != "none" for told_in_training, _ in told)
        self.needing_all = [name for name, own in mechanisms.items() if own.needs is Needs.ALL or own.dense_forward]
        self.fractional = [name for name, mechanism in mechanisms.items() if mechanism.fractional]
        self.looks_at_weights = bool(self.needing_all)

    def bind(self, model: nn.Module, optimizer: torch.optim.Optimizer, seed: int | None = None) -> Ledger:
        """Make the ledger (with ``seed`` in place of the constructor's, if given), or return it.

        Raises:
            ValueError: there is one already, for another model or optimizer; or a mechanism cannot work with them.
        """
        if self.ledger is None:
            self.ledger = Ledger(model, optimizer, self.seed if seed is None else seed)
            for name, mechanism in self.mechanisms.items():
                try:
                    self.ledger.attach(mechanism, name)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        elif self.ledger.model is not model or self.ledger.optimizer is not optimizer:
            raise ValueError("the plugin's mechanisms belong to another model or optimizer: make a plugin for each")
        return self.ledger

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Tell the mechanisms that a task begins.

        Raises:
            ValueError: one removes or adds units, which another plugin of the strategy cannot follow.
        """
        self._check_follows(strategy.plugins)
        ledger = self.bind(strategy.model, strategy.optimizer)
        task, held_out = strategy.experience.current_experience, Batches(strategy, held_out=True)
        ledger.before_task(task, Batches(strategy), held_out)

    def _check_follows(self, plugins: list[Any]) -> None:
        resizing = [name for name, mechanism in self.mechanisms.items() if mechanism.resizes]
        fixed = [type(plugin).__name__ for plugin in plugins if isinstance(plugin, BY_PLACE)]
        if resizing and fixed:
            raise ValueError(
                f"{resizing[0]} removes or adds units, which {fixed[0]} cannot follow: choose one of the two"
            )

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Tell the mechanisms that a pass over the task's data begins."""
        assert self.ledger is not None
        self.ledger.before_epoch(strategy.clock.train_exp_epochs, strategy.train_epochs, len(strategy.dataloader))

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Tell the mechanisms that a pass has ended."""
        assert self.ledger is not None
        self.ledger.after_epoch()

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Add the mechanisms' penalties to the loss."""
        if self.ledger is not None:
            strategy.loss = strategy.loss + self.ledger.penalty()

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Tell the mechanisms that the task has ended."""
        assert self.ledger is not None
        self.ledger.after_task(strategy.experience.current_experience, Batches(strategy))

    def state_dict(self) -> dict[str, Any]:
        """Return the ledger's state; nothing before there is a ledger."""
        return {} if self.ledger is None else self.ledger.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it; :meth:`bind` has been called, and the net has its widths and weights.

        Raises:
            ValueError: it does not fit.
        """
        if self.ledger is None:
            raise ValueError("bind(model, optimizer) has to be called before a state is loaded")
        self.ledger.load_state_dict(state)

    def carried_bytes(self) -> int:
        """Return the bytes of the numbers that mechanisms keep."""
        return 0 if self.ledger is None else self.ledger.nbytes

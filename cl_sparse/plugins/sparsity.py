"""Watches which units are active and which weights exist, in training and at test."""

from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from cl_sparse.layers import Winners
from cl_sparse.metrics import duty_cycle_entropy
from cl_sparse.models import activation_layers
from cl_sparse.plugins.base import Plugin
from cl_sparse.synapses import density, synapses_of
from cl_sparse.synapses.resize import Changes, weight_shape


def active_counts(output: Tensor | Winners) -> Tensor:
    """Return how often each unit (a channel, for a conv layer) is above zero in a batch of activities, (n,).

    Dense activities give float32, exact up to 2^24 places a unit: three times as fast as to compare into a bool tensor
    and to count in integers (measured).
    """
    if isinstance(output, Winners):
        return output.on_counts()
    values = output.float()  # torch compares 16 bits with 32 several times as slowly
    active = torch.gt(values, 0, out=torch.empty_like(values))
    return active.sum(dim=[d for d in range(active.dim()) if d != 1])


class Epoch(BaseModel):
    """What one training epoch was like; see :class:`SparsityProbe`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    perc_on_avg: float
    perc_on_std: float
    active_share: dict[str, float]
    duty_entropy: dict[str, float]
    density: dict[str, float]


class SparsityProbe(Plugin):
    """Record per epoch the active share, density and entropy of each layer; per task at test the use of each unit.

    A unit of a conv layer is a channel; its share is taken over all locations. Layers that took no part in an epoch
    (the nets of other tasks) have NaN there. Nothing it does changes the learner.
    """

    def __init__(self, model: nn.Module, n_tasks: int, training: bool = True) -> None:
        """Watch ``model``'s activity layers; with ``training`` False only at test."""
        super().__init__()
        self.training = training
        self.watch_use = False  # set while the test samples of all tasks pass through the final net
        self._mode = ""
        self._tasks: Tensor | None = None
        self._counts: dict[str, Tensor] = {}
        self._places: dict[str, int] = {}
        self._batch_shares: list[tuple[Tensor | int, int]] = []
        self._batch_on: Tensor | int = 0
        self._batch_size = 0
        self.layers = list(activation_layers(model))
        self.density_layers = [c.layer for c in synapses_of(model)]
        self._sources = _weight_layers_before(model, self.layers)
        self._weights = {name: model.get_submodule(source) for name, source in self._sources.items()}
        self.epochs: list[dict[str, Any]] = []
        self.on_idxs: dict[str, Tensor] = {}
        self.use: dict[str, list[Tensor | None]] = {name: [None] * n_tasks for name in self.layers}
        for name, layer in activation_layers(model).items():
            layer.register_forward_hook(lambda _, __, output, name=name: self._see(name, output))

    def _see(self, name: str, output: Tensor | Winners) -> None:
        if not self._mode:
            return
        counts = active_counts(output.detach())
        places = output.numel() // output.shape[1]
        if name in self._counts:
            self._counts[name] += counts
            self._places[name] += places
        else:
            self._counts[name], self._places[name] = counts.double(), places
        if self._mode == "train":
            self._batch_on = self._batch_on + counts.sum()
            self._batch_size += output.numel()

    def follow(self, changes: Changes) -> None:
        """Let the counts follow when units were removed or added (a ledger's listener)."""
        for name, source in self._sources.items():
            for counts in (self.on_idxs, self._counts):
                if source in changes and name in counts:
                    counts[name] = changes[source][1].carry(counts[name])

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Start counting an epoch."""
        self._counts, self._places, self._batch_shares = {}, {}, []

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Count the training forward pass that follows."""
        if self.training:
            self._mode = "train"
            self._batch_on, self._batch_size = 0, 0

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Stop counting, so that a method's own forward passes do not count."""
        if self._mode:
            self._batch_shares.append((self._batch_on, self._batch_size))
        self._mode = ""

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Sum the epoch up."""
        if not self.training:
            return
        percent = np.array([100.0 * int(on) / max(n, 1) for on, n in self._batch_shares])
        shares = {name: (self._counts[name] / self._places[name]).cpu().numpy() for name in self._counts}
        for name, counts in self._counts.items():
            self.on_idxs[name] = self.on_idxs.get(name, 0) + counts.long().cpu()
        self.epochs.append(
            {
                "perc_on_avg": float(percent.mean()),
                "perc_on_std": float(percent.std()),
                "active_share": {name: float(share.mean()) for name, share in shares.items()},
                "duty_entropy": {name: duty_cycle_entropy(share) for name, share in shares.items()},
                "density": density(strategy.model),
            }
        )

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Count the units used by the test samples of one task."""
        if self.watch_use:
            self._counts, self._places, self._mode = {}, {}, "eval"

    def after_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Keep the shares of the task's samples for which each unit was on."""
        if not self.watch_use:
            return
        self._mode = ""
        task = strategy.experience.current_experience
        for name, counts in self._counts.items():
            self.use[name][task] = (counts / self._places[name]).float().cpu()

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs recorded so far, and the use of the units, if the last task is learned."""
        return {"epochs": self.epochs, "on_idxs": self.on_idxs, "use": self.use}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what was recorded so far; it is kept on the CPU.

        Raises:
            ValueError: it is of another net or number of tasks, or no such record.
        """
        self.epochs = [Epoch.model_validate(epoch).model_dump() for epoch in state["epochs"]]
        self.on_idxs = {name: self._checked(name, counts, torch.long) for name, counts in state["on_idxs"].items()}
        for name, uses in state.get("use", {}).items():
            if len(uses) != len(self.use[name]):
                raise ValueError(f"the units' use is of {len(uses)} tasks, not of {len(self.use[name])}")
            self.use[name] = [None if use is None else self._checked(name, use, torch.float) for use in uses]

    def _checked(self, name: str, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a number for each unit of a layer, on the CPU."""
        units = weight_shape(self._weights[name])[0] if name in self._weights else len(numbers)
        if name not in self.use or numbers.shape != (units,) or numbers.dtype != dtype:
            raise ValueError(f"{name}: {numbers.dtype} of shape {tuple(numbers.shape)} for its {units} units")
        return numbers.cpu()

    def statistics(self) -> dict[str, Any]:
        """Return the record as plain numbers and NumPy arrays, as the result file holds it."""
        return {
            "perc_on_avg": np.array([epoch["perc_on_avg"] for epoch in self.epochs]),
            "perc_on_std": np.array([epoch["perc_on_std"] for epoch in self.epochs]),
            "on_idxs": {name: counts.numpy() for name, counts in self.on_idxs.items()},
            "active_share": self._per_epoch("active_share", self.layers),
            "duty_entropy": self._per_epoch("duty_entropy", self.layers),
            "density": self._per_epoch("density", self.density_layers),
            "unit_use": {name: use for name in self.layers if (use := self._use(name)) is not None},
        }

    def _per_epoch(self, key: str, names: list[str]) -> dict[str, np.ndarray]:
        return {name: np.array([epoch[key].get(name, np.nan) for epoch in self.epochs]) for name in names}

    def _use(self, name: str) -> np.ndarray | None:
        known = [use for use in self.use[name] if use is not None]
        if not known:
            return None
        blank = torch.full_like(known[0], torch.nan)
        return torch.stack([blank if use is None else use for use in self.use[name]]).numpy()


def _weight_layers_before(model: nn.Module, layers: list[str]) -> dict[str, str]:
    """Return, for each activity layer, the weight layer before it, whose units it passes on."""
    found: dict[str, str] = {}
    weights = {synapses.layer for synapses in synapses_of(model)}
    last = ""
    for name, _ in model.named_modules():
        if name in weights:
            last = name
        elif name in layers and last:
            found[name] = last
    return found

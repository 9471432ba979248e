"""How large the net is after each training epoch, and how long the epoch took."""

import time
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from cl_sparse.plugins.epoch_log import EpochLog
from cl_sparse.synapses.neuron_gc import live_units


class _Epoch(BaseModel):
    """What is recorded of one epoch."""

    model_config = ConfigDict(strict=True, extra="forbid")

    task: int
    units: dict[str, int]
    seconds: float


class SizePerEpoch(EpochLog):
    """Record, after each training epoch, the units of each hidden layer that live, and the seconds of its training.

    A unit lives whose filter, if its layer has one, is not 0. Tests after the epoch do not count as its time; what
    methods do before it does.
    """

    entry = _Epoch

    def __init__(self) -> None:
        super().__init__()
        self._start = 0.0

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Note what the epoch came to."""
        task, seconds = strategy.experience.current_experience, time.perf_counter() - self._start
        self.epochs.append({"task": task, "units": live_units(strategy.model), "seconds": seconds})

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Start the clock anew, but for a task's first epoch, whose preparations count."""
        if strategy.clock.train_exp_epochs:
            self._start = time.perf_counter()

    def statistics(self) -> dict[str, Any]:
        """Return the task, the seconds, (epochs,), and the units of each hidden layer by name, (epochs,) each."""
        layers = self.epochs[0]["units"] if self.epochs else {}
        return {
            "task": np.array([epoch["task"] for epoch in self.epochs]),
            "seconds": np.array([epoch["seconds"] for epoch in self.epochs]),
            "units": {layer: np.array([epoch["units"][layer] for epoch in self.epochs]) for layer in layers},
        }

"""What a run has measured so far; grows by one row per task and becomes the result's statistics."""

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

NAN = float("nan")


class Record(BaseModel):
    """Accuracies, times and counts of a run under way, in plain lists, so that a checkpoint can hold them.

    Attributes:
        accs: T×T; ``accs[i][j]`` is the test accuracy on task j after task i, NaN where not measured.
        accs_init: T; the untrained net's.
        val_accs: as ``accs``, on the validation split; None without one.
        train_seconds, eval_seconds: per task trained.
        steps, samples: optimizer steps and training samples (repetitions counted) per task trained.
        carried_bytes: per task trained, what is carried to the next task beyond weights and biases.
        units, live_synapses: per task trained, the units of each weight layer by name, and how many weights lived, when
            it ended. A run that was begun before they were noted lacks the first.
        code_hashes: per task trained, the hash of the code that trained it: a resumed run may have more than one, and
            one begun before they were noted lacks the first.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    accs: list[list[float]]
    accs_init: list[float]
    val_accs: list[list[float]] | None
    train_seconds: list[float] = []
    eval_seconds: list[float] = []
    steps: list[int] = []
    samples: list[int] = []
    carried_bytes: list[dict[str, int]] = []
    units: list[dict[str, int]] = []
    live_synapses: list[int] = []
    code_hashes: list[str] = []

    @model_validator(mode="after")
    def _check_lengths(self) -> "Record":
        n_tasks = len(self.accs_init)
        for matrix in (self.accs, self.val_accs or self.accs):
            if [len(row) for row in matrix] != [n_tasks] * n_tasks:
                raise ValueError(f"the accuracies of {n_tasks} tasks are no square matrix")
        per_task = (self.train_seconds, self.eval_seconds, self.steps, self.samples, self.carried_bytes)
        trained = {len(numbers) for numbers in per_task}
        since = max(len(numbers) for numbers in (self.units, self.live_synapses, self.code_hashes))
        if len(trained) > 1 or max(trained) > n_tasks or since > max(trained):
            raise ValueError("its lists are not of one number of tasks")
        return self

    @classmethod
    def blank(cls, n_tasks: int, validation: bool) -> "Record":
        """Return the record of a run that has not begun."""

        def matrix() -> list[list[float]]:
            return [[NAN] * n_tasks for _ in range(n_tasks)]

        return cls(accs=matrix(), accs_init=[NAN] * n_tasks, val_accs=matrix() if validation else None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, for a checkpoint; ``Record(**that)`` is the same record."""
        return self.model_dump()

    def statistics(self) -> dict[str, Any]:
        """Return the part of the result's statistics that this record holds."""
        return {
            "accs": np.array(self.accs),
            "accs_init": np.array(self.accs_init),
            "val_accs": None if self.val_accs is None else np.array(self.val_accs),
            "steps": self.steps,
            "samples": self.samples,
            "carried_bytes": self.carried_bytes,
            "units": self.units,
            "live_synapses_by_task": self.live_synapses,
            "code_hashes": self.code_hashes,
            "seconds": {
                "train": self.train_seconds,
                "eval": self.eval_seconds,
                "total": sum(self.train_seconds) + sum(self.eval_seconds),
            },
        }

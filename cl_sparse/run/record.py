"""What a run has measured so far; grows by one row per task and becomes the result's statistics."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

NAN = float("nan")


@dataclass
class Record:
    """Accuracies, times and counts of a run under way, in plain lists, so that a checkpoint can hold them.

    Attributes:
        accs: T×T; ``accs[i][j]`` is the test accuracy on task j after task i, NaN where not measured.
        accs_init: T; the untrained net's.
        val_accs: as ``accs``, on the validation split; None without one.
        train_seconds, eval_seconds: per task trained.
        steps, samples: optimizer steps and training samples (repetitions counted) per task trained.
        carried_bytes: per task trained, what is carried to the next task beyond weights and biases.
        code_hashes: per task trained, the hash of the code that trained it: a resumed run may have more than one.
    """

    accs: list[list[float]]
    accs_init: list[float]
    val_accs: list[list[float]] | None
    train_seconds: list[float] = field(default_factory=list)
    eval_seconds: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    carried_bytes: list[dict[str, int]] = field(default_factory=list)
    code_hashes: list[str] = field(default_factory=list)

    @classmethod
    def blank(cls, n_tasks: int, validation: bool) -> "Record":
        """Return the record of a run that has not begun."""

        def matrix() -> list[list[float]]:
            return [[NAN] * n_tasks for _ in range(n_tasks)]

        return cls(accs=matrix(), accs_init=[NAN] * n_tasks, val_accs=matrix() if validation else None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, for a checkpoint; ``Record(**that)`` is the same record."""
        return asdict(self)

    def statistics(self) -> dict[str, Any]:
        """Return the part of the result's statistics that this record holds."""
        return {
            "accs": np.array(self.accs),
            "accs_init": np.array(self.accs_init),
            "val_accs": None if self.val_accs is None else np.array(self.val_accs),
            "steps": self.steps,
            "samples": self.samples,
            "carried_bytes": self.carried_bytes,
            "code_hashes": self.code_hashes,
            "seconds": {
                "train": self.train_seconds,
                "eval": self.eval_seconds,
                "total": sum(self.train_seconds) + sum(self.eval_seconds),
            },
        }

"""One trial of a sweep, and what it came to."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from cl_sparse.config.identity import short_hash
from cl_sparse.run.trial import Trial
from cl_sparse.sweep.space import Point

Phase = Literal["try", "report"]


@dataclass(frozen=True)
class Entry:
    """One trial: a point of an experiment's space, with one seed.

    Attributes:
        experiment: as the sweep names it.
        phase: whether it is run to compare points, or to report on the chosen one.
        number: of the point among those of its experiment.
        point: parameter -> value.
        trial: what runs.
    """

    experiment: str
    phase: Phase
    number: int
    point: Point
    trial: Trial

    @property
    def key(self) -> tuple[str, int]:
        """What is equal for trials that would give the same result."""
        return short_hash(self.trial.config.identity()), self.trial.seed

    @property
    def title(self) -> str:
        """What it is called in messages."""
        settings = " ".join(f"{key}={json.dumps(value, default=str)}" for key, value in self.point.items())
        return f"{self.trial.config.name}{f' {settings}' if settings else ''} seed {self.trial.seed}"

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        return {
            "experiment": self.experiment,
            "phase": self.phase,
            "point": self.number,
            "values": self.point,
            "seed": self.trial.seed,
        }

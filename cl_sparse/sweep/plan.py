"""What the command line hands to a sweep."""

from dataclasses import dataclass, field
from typing import Literal

from cl_sparse.run.plan import Workplace
from cl_sparse.sweep.protocol import Method
from cl_sparse.sweep.search import Search
from cl_sparse.sweep.spec import Sweep


@dataclass(frozen=True)
class SweepPlan:
    """Everything one call of ``cl-sparse sweep`` asks for, checked as far as that works without data and torch.

    Attributes:
        sweep: as the file has it.
        searches: of each experiment.
        place: where trials run; its ``results_dir`` is the sweep's folder.
        executor: what runs trials.
        ray_address: of a Ray cluster, or None.
        gpus: GPUs of each trial, for Ray.
        slurm: options of Slurm.
        jobs: trials side by side; those that are with Slurm at once.
        max_hours: after which no more is done, or None.
        force: run finished trials again.
        quiet: print tables only.
    """

    sweep: Sweep
    searches: dict[Method, Search]
    place: Workplace
    executor: Literal["ray", "local", "slurm"] = "local"
    ray_address: str | None = None
    gpus: float = 0.0
    slurm: dict[str, object] = field(default_factory=dict)
    jobs: int = 1
    max_hours: float | None = None
    force: bool = False
    quiet: bool = False

    def trials(self) -> dict[str, int]:
        """Return the number of trials by experiment, reported ones included."""
        sweep = self.sweep
        first, all_seeds = len(sweep.first_seeds), len(sweep.point_seeds)
        finalists = sweep.select.finalists or 0 if sweep.select is not None else 0
        more = finalists * (all_seeds - first) + (len(sweep.report.seeds) if sweep.report is not None else 0)
        return {method.name: search.n_points * first + more for method, search in self.searches.items()}

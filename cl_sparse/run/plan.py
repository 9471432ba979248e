"""What the command line hands to the runner."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.experiments import Selection

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Workplace:
    """Where trials run, in whatever process.

    Attributes:
        data_root: where the user says the data are, if they say so.
        results_dir: where results go; need not exist yet, and can be written to.
        device: where to compute; ``auto`` is CUDA when there is one.
        threads: CPU threads of a process, or None: as torch likes.
        resume: continue runs that were stopped.
        sweep: they are a sweep's, which has the results folder to itself: neither a result nor a checkpoint by other
            code stands for a trial, the folder is looked through only where a trial was ended by force, and no trial
            gets a picture of its own.
    """

    data_root: Path | None = None
    results_dir: Path = Path("results")
    device: Device = "auto"
    threads: int | None = None
    resume: bool = False
    sweep: bool = False


@dataclass(frozen=True)
class RunPlan:
    """Everything one call of ``cl-sparse run`` asks for, checked as far as that works without data and torch.

    Attributes:
        selections: what to run, each selection compared in one table.
        place: where.
        seeds: the seeds of every experiment, or None: each experiment's own number of them, from 0.
        jobs: runs side by side, each in a process of its own if there are several.
        quiet: print results only, no progress.
        dry_run: time a few steps and print what the runs would take.
    """

    selections: tuple[Selection, ...]
    place: Workplace = Workplace()
    seeds: tuple[int, ...] | None = None
    jobs: int = 1
    quiet: bool = False
    dry_run: bool = False

    def seeds_for(self, config: ExperimentConfig) -> tuple[int, ...]:
        """Return the seeds to run one experiment with."""
        return self.seeds if self.seeds is not None else tuple(range(config.seeds))

    def runs(self) -> Iterator[tuple[ExperimentConfig, int]]:
        """Yield each (experiment, seed) once, in order; one that is in several selections comes with the first."""
        done = set()
        for selection in self.selections:
            for config in selection.configs:
                if config.name not in done:
                    done.add(config.name)
                    yield from ((config, seed) for seed in self.seeds_for(config))

"""Runs the runs of a group one after the other, and shows and stores what came out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from cl_sparse.config import ExperimentConfig
from cl_sparse.errors import UserError
from cl_sparse.report import Result, accuracy_matrix_png, accuracy_over_tasks_png, print_table, rows_of, slim
from cl_sparse.results import file_name_of, load_result, save_result, timestamp
from cl_sparse.run import build
from cl_sparse.run.alone import alone, clear, remove
from cl_sparse.run.checkpoint import checkpoint_path
from cl_sparse.run.earlier import Earlier, EarlierResults, OtherData
from cl_sparse.run.one_run import Observer, Run
from cl_sparse.run.plan import RunPlan
from cl_sparse.run.progress import RunProgress, planned_steps
from cl_sparse.run.terminal import Terminal

_STOPPED, _FAILED = 1, 2


@dataclass(frozen=True)
class Job:
    """One experiment with one seed, and what an earlier command left of it."""

    config: ExperimentConfig
    seed: int
    earlier: Earlier | OtherData | None = None

    @property
    def finished(self) -> Earlier | None:
        """The result that stands for it."""
        return self.earlier if isinstance(self.earlier, Earlier) else None

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"{self.config.name} seed {self.seed}"


class GroupRunner:
    """Runs groups of jobs. What two groups share runs once; a job that fails costs no other one anything.

    Args:
        plan: the command's.
        device: where to compute.
        console: where tables and progress go.
        earlier: what was in the results folder.

    Attributes:
        exit_code: 0, 1 if a run's loss stopped being a number, 2 if anything else came to nothing.
    """

    def __init__(self, plan: RunPlan, device: torch.device, console: Console, earlier: EarlierResults) -> None:
        """Run nothing yet."""
        self.plan, self.device, self.console, self.earlier = plan, device, console, earlier
        self.exit_code = 0
        self._done: dict[tuple[str, int], Result | None] = {}  # None: it failed

    def run(self, title: str, jobs: list[Job]) -> None:
        """Run a group's jobs, then print its table and draw its figure."""
        with RunProgress(self.console, self.plan.quiet) as progress:
            for job in jobs:
                key = job.config.name, job.seed
                if key not in self._done:
                    self._done[key] = self._outcome(job, progress)
        outcomes = [self._done[job.config.name, job.seed] for job in jobs]
        results = [outcome for outcome in outcomes if outcome is not None]
        if results:
            self._show(title, results)

    def _outcome(self, job: Job, progress: RunProgress) -> Result | None:
        """Return the job's result, or None, having said why there is none."""
        if job.earlier is not None:
            progress.say(f"{job.title}: {job.earlier.line}")
        try:
            result = self._stand_in(job, job.finished) if job.finished else self._run(job, progress)
        except UserError as error:
            self._complain(f"{job.title}: {error}", _FAILED)
            return None
        stopped = result[1].get("stopped")
        if stopped is not None:
            self._complain(f"{job.title} stopped: {stopped}", _STOPPED)
        return result

    def _stand_in(self, job: Job, earlier: Earlier) -> Result:
        """Take an earlier result for the run, and do what the process that wrote it was killed before it could do."""
        if not earlier.stopped:
            checkpoint = checkpoint_path(self.plan.results_dir, job.config, job.seed)
            self._try(lambda: clear(checkpoint))
        if not earlier.path.with_suffix(".png").exists():
            self._draw_matrix(job, earlier.path, earlier.result)
        return earlier.result

    def _run(self, job: Job, progress: RunProgress) -> Result:
        """Run one job, no other process being at it."""
        checkpoint = checkpoint_path(self.plan.results_dir, job.config, job.seed)
        with alone(checkpoint):
            if self.plan.resume:
                self.earlier.forget_listing()
                found = self.earlier.find(job.config, job.seed)
                if isinstance(found, Earlier):  # by another process, since the plan was made
                    return found.result
            stats = self._statistics(job, checkpoint, progress)
            path = self._save(job, stats)
            result = load_result(path)
            if stats["stopped"] is None:  # else the tasks before need not be learned again
                self._try(lambda: remove(checkpoint))
        self._draw_matrix(job, path, result)
        return result[0], slim(result[1])

    def _statistics(self, job: Job, checkpoint: Path, progress: RunProgress) -> dict[str, Any]:
        config, seed = job.config, job.seed
        benchmark = build.build_benchmark(config, seed, self.plan.data_root)
        progress.begin(job.title, planned_steps(config, benchmark))
        observer = Observer(on_steps=progress.advance, on_task=progress.task_done)
        one = Run(config, benchmark, seed, self.device, observer)
        if self.plan.resume and checkpoint.exists():
            done = one.resume(checkpoint)
            progress.resumed(done, sum(one.record.steps), {*one.record.code_hashes} == {one.code_hash})
        return one.run(checkpoint)

    def _save(self, job: Job, stats: dict[str, Any]) -> Path:
        stored: dict[str, Any] = {"seed": job.seed, **job.config.model_dump()}
        return save_result(self.plan.results_dir, job.config.name, job.seed, stored, stats, datetime.now())

    def _draw_matrix(self, job: Job, path: Path, result: Result) -> None:
        matrix, title = np.asarray(result[1]["accs"]), f"{job.config.name}, seed {job.seed}"
        self._try(lambda: accuracy_matrix_png(matrix, path.with_suffix(".png"), title))

    def _show(self, title: str, results: list[Result]) -> None:
        folder = self.plan.results_dir
        print_table(rows_of(results), self.console)
        figure = folder / f"{file_name_of(title)}_{timestamp(datetime.now())}_accuracy.png"
        drawn = self._try(lambda: accuracy_over_tasks_png(results, figure, title))
        line = f"results and pictures in {folder}/{f', the comparison in {figure}' if drawn else ''}"
        self.console.print(line, soft_wrap=True)

    def _try(self, action: Callable[[], None]) -> bool:
        """Do what a result stands without; return whether it worked, having said why if not."""
        try:
            action()
        except UserError as error:
            self._complain(str(error), _FAILED)
            return False
        return True

    def _complain(self, line: str, code: int) -> None:
        one_line = " ".join(line.split())
        Terminal(stderr=True).print(f"error: {one_line}", soft_wrap=True, highlight=False)
        self.exit_code = max(self.exit_code, code)

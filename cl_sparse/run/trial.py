"""A trial: one experiment with one seed, from its data to its result file, in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cl_sparse.config import ExperimentConfig
from cl_sparse.errors import UserError
from cl_sparse.report import Result, accuracy_matrix_png
from cl_sparse.results import load_result, save_result
from cl_sparse.run import build
from cl_sparse.run.alone import alone, clear, remove
from cl_sparse.run.checkpoint import checkpoint_path
from cl_sparse.run.devices import choose_device
from cl_sparse.run.earlier import Earlier, EarlierResults
from cl_sparse.run.learned_widths import with_learned_widths
from cl_sparse.run.one_run import Observer, Run
from cl_sparse.run.plan import Workplace
from cl_sparse.run.progress import planned_steps, resumed_line, task_line
from cl_sparse.run.record import Record
from cl_sparse.run.resume import can_resume, resume


@dataclass(frozen=True)
class Trial:
    """One experiment with one seed."""

    config: ExperimentConfig
    seed: int

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"{self.config.name} seed {self.seed}"

    def checkpoint(self, results_dir: Path) -> Path:
        """Return where its checkpoint lies."""
        return checkpoint_path(results_dir, self.config, self.seed)


class Watch(Protocol):
    """Who is told how a trial goes; in a worker, somebody in another process."""

    def begin(self, steps: int) -> None:
        """It starts, and will take so many steps."""

    def advance(self, steps: int) -> None:
        """So many more are done."""

    def task_done(self, line: str, accuracy: float) -> None:
        """A task is finished; ``accuracy`` is the mean of the tasks so far, on validation data where there are any."""

    def say(self, line: str) -> None:
        """Something else happened."""

    def complain(self, line: str) -> None:
        """Something failed that the result stands without."""


def run_trial(trial: Trial, place: Workplace, earlier: EarlierResults, watch: Watch) -> Path:
    """Run a trial, no other process being at it; return the path of its result.

    Args:
        trial: what to run.
        place: where, and whether to go on from a checkpoint.
        earlier: what was in the results folder; looked at again if the trial may have been finished since.
        watch: whom to tell.

    Raises:
        UserError: if it came to nothing.
    """
    checkpoint = trial.checkpoint(place.results_dir)
    with alone(checkpoint):
        if place.resume and (not place.sweep or can_resume(checkpoint)):
            earlier.forget_listing()
            found = earlier.find(trial.config, trial.seed)
            if isinstance(found, Earlier):  # by another process since the plan was made, or by one killed after it
                if not found.stopped:
                    tell_failure(watch.complain, lambda: remove(checkpoint))
                return found.path
        stats = _statistics(trial, place, checkpoint, watch)
        stored: dict[str, Any] = {"seed": trial.seed, **trial.config.model_dump()}
        path = save_result(place.results_dir, trial.config.name, trial.seed, stored, stats, datetime.now())
        result = load_result(path)
        if stats["stopped"] is None:  # else the tasks before need not be learned again
            tell_failure(watch.complain, lambda: remove(checkpoint))
    if not place.sweep:
        _draw_matrix(trial, path, result, watch.complain)
    return path


def stand_in(trial: Trial, place: Workplace, earlier: Earlier, complain: Callable[[str], object]) -> None:
    """Do for an earlier result of the trial what the process that wrote it was killed before it could do."""
    if not earlier.stopped:
        tell_failure(complain, lambda: clear(trial.checkpoint(place.results_dir)))
    packed = not earlier.path.is_file()
    if not place.sweep and not packed and not earlier.path.with_suffix(".png").exists():
        _draw_matrix(trial, earlier.path, earlier.result, complain)


def tell_failure(complain: Callable[[str], object], action: Callable[[], None]) -> bool:
    """Do what a result stands without; return whether it worked, having told why if not."""
    try:
        action()
    except UserError as error:
        complain(str(error))
        return False
    return True


def _statistics(trial: Trial, place: Workplace, checkpoint: Path, watch: Watch) -> dict[str, Any]:
    config = with_learned_widths(trial.config, trial.seed, place.results_dir)
    benchmark = build.build_benchmark(config, trial.seed, place.data_root)
    watch.begin(planned_steps(config, benchmark))

    def task_done(task: int, record: Record) -> None:
        row = np.asarray((record.val_accs or record.accs)[task][: task + 1])
        watch.task_done(task_line(trial.title, task, record), float(np.nanmean(row)))

    observer = Observer(on_steps=watch.advance, on_task=task_done)
    run = Run(config, benchmark, trial.seed, choose_device(place.device), observer)
    if place.resume and can_resume(checkpoint):
        resume(run, checkpoint, watch.say)
        same_code = {*run.record.code_hashes} == {run.code_hash}
        if place.sweep and not same_code:
            watch.say(f"{trial.title}: {checkpoint} is by other code, begun anew")
            run = Run(config, benchmark, trial.seed, run.learner.device, observer)
        else:
            watch.say(resumed_line(trial.title, len(run.record.steps), same_code=same_code))
            watch.advance(sum(run.record.steps))
    return run.run(checkpoint)


def _draw_matrix(trial: Trial, path: Path, result: Result, complain: Callable[[str], object]) -> None:
    score = result[1].get("score", "accuracy")
    matrix, title = np.asarray(result[1]["accs"]), f"{trial.config.name}, seed {trial.seed}"
    tell_failure(complain, lambda: accuracy_matrix_png(matrix, path.with_suffix(".png"), title, score))

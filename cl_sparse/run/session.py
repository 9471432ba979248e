"""Carries out what a command asks for: plans the runs, checks each before the first one trains, and runs them."""

from collections import Counter

import torch

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.experiments import Selection
from cl_sparse.interrupt import unwinding
from cl_sparse.output import ignore_avalanches_warnings
from cl_sparse.results import prepare_results_dir
from cl_sparse.run import build
from cl_sparse.run.alone import check_alone, prepare_checkpoints
from cl_sparse.run.checkpoint import earlier_checkpoint
from cl_sparse.run.devices import choose_device, note_slow_precision
from cl_sparse.run.dry_run import print_estimates
from cl_sparse.run.earlier import EarlierResults
from cl_sparse.run.executors.base import Executor
from cl_sparse.run.executors.here import Here
from cl_sparse.run.executors.local import Local
from cl_sparse.run.group import Failures, GroupRunner, Job
from cl_sparse.run.learned_widths import with_learned_widths
from cl_sparse.run.one_run import Observer, Run
from cl_sparse.run.plan import RunPlan
from cl_sparse.run.progress import RunProgress
from cl_sparse.run.resume import can_resume, resume
from cl_sparse.run.terminal import Terminal
from cl_sparse.run.trial import Trial


def run(plan: RunPlan) -> int:
    """Carry out a plan; return the process's exit code.

    It is 0, 1 if a run's loss stopped being a number, 2 if a run or a picture came to nothing: the others go on.

    Raises:
        UserError: if anything the user gave cannot work; checked for every experiment before the first one trains.
    """
    ignore_avalanches_warnings()
    with unwinding():
        return _run(plan)


def _run(plan: RunPlan) -> int:
    place = plan.place
    device = choose_device(place.device)
    if place.threads is not None:
        torch.set_num_threads(place.threads)
    note_slow_precision((config for selection in plan.selections for config in selection.configs), device)
    earlier = EarlierResults(place.results_dir, place.data_root)
    groups = {selection.title: _jobs(plan, selection, earlier) for selection in plan.selections}
    _check(plan, [job for group in groups.values() for job in group], device)
    console = Terminal()
    if plan.dry_run:
        print_estimates(_seeds_left(groups), place.data_root, device, console)
        return 0
    prepare_results_dir(place.results_dir)
    trials = {job.trial.title for group in groups.values() for job in group if job.finished is None}
    if trials:
        prepare_checkpoints(place.results_dir)
    failures = Failures()
    with (
        _executor(plan, len(trials), earlier) as executor,
        RunProgress(console, plan.quiet, len(trials), failures.failed) as progress,
    ):
        GroupRunner(plan, console, progress, failures, executor).run(groups)
    return failures.exit_code


def _executor(plan: RunPlan, trials: int, earlier: EarlierResults) -> Executor:
    if plan.jobs == 1 or trials == 0:
        return Here(plan.place, earlier)
    return Local(plan.place, min(plan.jobs, trials))


def _jobs(plan: RunPlan, selection: Selection, earlier: EarlierResults) -> list[Job]:
    return [
        Job(Trial(config, seed), earlier.find(config, seed) if plan.place.resume else None)
        for config in selection.configs
        for seed in plan.seeds_for(config)
    ]


def _seeds_left(groups: dict[str, list[Job]]) -> list[tuple[ExperimentConfig, int]]:
    trials = [job.trial for group in groups.values() for job in group if job.finished is None]
    left = Counter(trial.config.name for trial in trials)
    configs = {trial.config.name: trial.config for trial in trials}
    return [(configs[name], seeds) for name, seeds in left.items()]


def _check(plan: RunPlan, jobs: list[Job], device: torch.device) -> None:
    """Build everything once, so that a mistake in the last experiment does not cost the hours of the first."""
    checked: set[str] = set()
    planned = {(job.trial.config.name, job.trial.seed) for job in jobs}
    for trial in (job.trial for job in jobs if job.finished is None):
        checkpoint = trial.checkpoint(plan.place.results_dir)
        resumes = False
        if not plan.dry_run:
            check_alone(checkpoint)
            earlier = earlier_checkpoint(plan.place.results_dir, trial.config, trial.seed)
            resumes = plan.place.resume and can_resume(earlier)
        if trial.config.name in checked and not resumes:
            continue
        checked.add(trial.config.name)
        config = trial.config
        if (config.widths_from, trial.seed) not in planned:  # else any widths will do
            config = with_learned_widths(config, trial.seed, plan.place.results_dir)
        benchmark = build.build_benchmark(config, trial.seed, plan.place.data_root)
        run = Run(config, benchmark, trial.seed, device, Observer())
        if resumes:
            resume(run, checkpoint)

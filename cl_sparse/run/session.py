"""Runs experiments × seeds, and shows and stores what came out."""

import os
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.experiments import Selection
from cl_sparse.config.identity import differing
from cl_sparse.errors import UserError
from cl_sparse.report import accuracy_matrix_png, accuracy_over_tasks_png, print_table, rows_of
from cl_sparse.results import (
    file_name_of,
    find_results,
    load_complete_result,
    prepare_results_dir,
    save_result,
    timestamp,
)
from cl_sparse.run import build
from cl_sparse.run.checkpoint import alone, check_alone, checkpoint_path, earlier_checkpoint
from cl_sparse.run.dry_run import print_estimates
from cl_sparse.run.one_run import Observer, Run
from cl_sparse.run.plan import RunPlan
from cl_sparse.run.progress import RunProgress, planned_steps
from cl_sparse.run.terminal import Terminal


@dataclass(frozen=True)
class Job:
    """One experiment with one seed, and the finished result if an earlier run left one."""

    config: ExperimentConfig
    seed: int
    finished: Path | None


def run(plan: RunPlan) -> int:
    """Carry out a plan; return the process's exit code: 0, or 1 if a run's loss stopped being a number.

    Raises:
        UserError: if anything the user gave cannot work; checked for every experiment before the first one trains.
    """
    # Avalanche warns that its own metrics and loggers are off; ours are in use instead.
    warnings.filterwarnings("ignore", module=r"avalanche\..*")
    device = choose_device(plan.device)
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    jobs = {selection.title: _jobs(plan, selection) for selection in plan.selections}
    _check(plan, [job for group in jobs.values() for job in group], device)
    console = Terminal()
    if plan.dry_run:
        print_estimates(_seeds_left(jobs), plan.data_root, device, console)
        return 0
    prepare_results_dir(plan.results_dir)
    done: dict[tuple[str, int], Path] = {}
    outcomes = [_run_group(plan, title, group, device, console, done) for title, group in jobs.items()]
    return 0 if all(outcomes) else 1


def choose_device(name: str) -> torch.device:
    """Return the device; ``auto`` takes the GPU if there is one.

    Raises:
        UserError: for ``cuda`` on a machine without it.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("--device cuda: this machine or this build of torch has no CUDA: use --device cpu or auto")
    if name == "cpu" or not available:
        return torch.device("cpu")
    # The same numbers in every run. cuBLAS reads its setting when first used; torch warns of what is not deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda")


def _jobs(plan: RunPlan, selection: Selection) -> list[Job]:
    jobs = []
    for config in selection.configs:
        for seed in plan.seeds_for(config):
            finished = _finished(plan.results_dir, config, seed) if plan.resume and plan.results_dir.exists() else None
            jobs.append(Job(config, seed, finished))
    return jobs


def _seeds_left(jobs: dict[str, list[Job]]) -> list[tuple[ExperimentConfig, int]]:
    left = Counter(job.config.name for group in jobs.values() for job in group if job.finished is None)
    configs = {job.config.name: job.config for group in jobs.values() for job in group}
    return [(configs[name], seeds) for name, seeds in left.items()]


def _finished(results_dir: Path, config: ExperimentConfig, seed: int) -> Path | None:
    """Return the newest finished result of exactly this config and seed."""
    wanted = config.identity()
    for path in reversed(find_results(results_dir, config.name)):
        earlier, stats = load_complete_result(path)
        if stats.get("seed") == seed and stats.get("stopped") is None and not differing(earlier, wanted):
            return path
    return None


def _check(plan: RunPlan, jobs: list[Job], device: torch.device) -> None:
    """Build everything once, so that a mistake in the last experiment does not cost the hours of the first."""
    checked: set[str] = set()
    for job in jobs:
        checkpoint = checkpoint_path(plan.results_dir, job.config, job.seed)
        resumes = False
        if job.finished is None and not plan.dry_run:
            check_alone(checkpoint)
            resumes = plan.resume and earlier_checkpoint(plan.results_dir, job.config, job.seed).exists()
        if job.config.name in checked and not resumes:
            continue
        checked.add(job.config.name)
        benchmark = build.build_benchmark(job.config, job.seed, plan.data_root)
        trial = Run(job.config, benchmark, job.seed, device, Observer())
        if resumes:
            trial.resume(checkpoint)


def _run_group(
    plan: RunPlan,
    title: str,
    jobs: list[Job],
    device: torch.device,
    console: Console,
    done: dict[tuple[str, int], Path],
) -> bool:
    """Run a selection's jobs, then print its table and draw its figure; return whether all came to their end.

    ``done`` holds the results of this call, by experiment and seed: what two selections share runs once.
    """
    with RunProgress(console, plan.quiet) as progress:
        for job in jobs:
            key = job.config.name, job.seed
            if job.finished is not None:
                progress.say(f"{job.config.name} seed {job.seed}: finished earlier, {job.finished}")
                done[key] = job.finished
            elif key not in done:
                done[key] = _run_job(plan, job, device, progress)
    results = [load_complete_result(done[job.config.name, job.seed]) for job in jobs]
    print_table(rows_of(results), console)
    figure = plan.results_dir / f"{file_name_of(title)}_{timestamp(datetime.now())}_accuracy.png"
    accuracy_over_tasks_png(results, figure, title)
    console.print(f"results and pictures in {plan.results_dir}/, the comparison in {figure}", soft_wrap=True)
    return all(stats["stopped"] is None for _, stats in results)


def _run_job(plan: RunPlan, job: Job, device: torch.device, progress: RunProgress) -> Path:
    """Run one job, no other process being at it, and return its result file."""
    checkpoint = checkpoint_path(plan.results_dir, job.config, job.seed)
    with alone(checkpoint):
        finished = _finished(plan.results_dir, job.config, job.seed) if plan.resume else None
        if finished is not None:  # by another process, since the plan was made
            return finished
        return _run_alone(plan, job, device, progress, checkpoint)


def _run_alone(plan: RunPlan, job: Job, device: torch.device, progress: RunProgress, checkpoint: Path) -> Path:
    config, seed = job.config, job.seed
    benchmark = build.build_benchmark(config, seed, plan.data_root)
    progress.begin(f"{config.name} seed {seed}", planned_steps(config, benchmark))
    observer = Observer(on_steps=progress.advance, on_task=progress.task_done)
    one = Run(config, benchmark, seed, device, observer)
    if plan.resume and checkpoint.exists():
        done = one.resume(checkpoint)
        progress.resumed(done, sum(one.record.steps), {*one.record.code_hashes} == {one.code_hash})
    stats = one.run(checkpoint)
    stored: dict[str, Any] = {"seed": seed, **config.model_dump()}
    path = save_result(plan.results_dir, config.name, seed, stored, stats, datetime.now())
    accuracy_matrix_png(np.asarray(stats["accs"]), path.with_suffix(".png"), f"{config.name}, seed {seed}")
    checkpoint.unlink(missing_ok=True)
    if stats["stopped"]:
        Terminal(stderr=True).print(f"error: {config.name} seed {seed} stopped: {stats['stopped']}", soft_wrap=True)
    return path

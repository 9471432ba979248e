"""Carries out what a command asks for: plans the runs, checks each before the first one trains, and runs them."""

import os
import warnings
from collections import Counter

import torch

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.experiments import Selection
from cl_sparse.errors import UserError
from cl_sparse.interrupt import unwinding
from cl_sparse.results import prepare_results_dir
from cl_sparse.run import build
from cl_sparse.run.alone import check_alone, prepare_checkpoints
from cl_sparse.run.checkpoint import checkpoint_path, earlier_checkpoint
from cl_sparse.run.dry_run import print_estimates
from cl_sparse.run.earlier import EarlierResults
from cl_sparse.run.group import GroupRunner, Job
from cl_sparse.run.one_run import Observer, Run
from cl_sparse.run.plan import RunPlan
from cl_sparse.run.terminal import Terminal


def run(plan: RunPlan) -> int:
    """Carry out a plan; return the process's exit code.

    It is 0, 1 if a run's loss stopped being a number, 2 if a run or a picture came to nothing: the others go on.

    Raises:
        UserError: if anything the user gave cannot work; checked for every experiment before the first one trains.
    """
    # Avalanche warns that its own metrics and loggers are off; ours are in use instead.
    warnings.filterwarnings("ignore", module=r"avalanche\..*")
    with unwinding():
        return _run(plan)


def _run(plan: RunPlan) -> int:
    device = choose_device(plan.device)
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    earlier = EarlierResults(plan.results_dir, plan.data_root)
    groups = {selection.title: _jobs(plan, selection, earlier) for selection in plan.selections}
    _check(plan, [job for group in groups.values() for job in group], device)
    console = Terminal()
    if plan.dry_run:
        print_estimates(_seeds_left(groups), plan.data_root, device, console)
        return 0
    prepare_results_dir(plan.results_dir)
    if any(job.finished is None for group in groups.values() for job in group):
        prepare_checkpoints(plan.results_dir)
    runner = GroupRunner(plan, device, console, earlier)
    for title, jobs in groups.items():
        runner.run(title, jobs)
    return runner.exit_code


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


def _jobs(plan: RunPlan, selection: Selection, earlier: EarlierResults) -> list[Job]:
    return [
        Job(config, seed, earlier.find(config, seed) if plan.resume else None)
        for config in selection.configs
        for seed in plan.seeds_for(config)
    ]


def _seeds_left(groups: dict[str, list[Job]]) -> list[tuple[ExperimentConfig, int]]:
    left = Counter(job.config.name for group in groups.values() for job in group if job.finished is None)
    configs = {job.config.name: job.config for group in groups.values() for job in group}
    return [(configs[name], seeds) for name, seeds in left.items()]


def _check(plan: RunPlan, jobs: list[Job], device: torch.device) -> None:
    """Build everything once, so that a mistake in the last experiment does not cost the hours of the first."""
    checked: set[str] = set()
    for job in (job for job in jobs if job.finished is None):
        checkpoint = checkpoint_path(plan.results_dir, job.config, job.seed)
        resumes = False
        if not plan.dry_run:
            check_alone(checkpoint)
            resumes = plan.resume and earlier_checkpoint(plan.results_dir, job.config, job.seed).exists()
        if job.config.name in checked and not resumes:
            continue
        checked.add(job.config.name)
        benchmark = build.build_benchmark(job.config, job.seed, plan.data_root)
        trial = Run(job.config, benchmark, job.seed, device, Observer())
        if resumes:
            trial.resume(checkpoint)

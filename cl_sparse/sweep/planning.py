"""From the options of ``cl-sparse sweep`` to a checked plan. No torch before the data are read."""

import argparse
from collections.abc import Callable
from pathlib import Path

from cl_sparse.config.experiments import Selection, load_experiments, parse_overrides
from cl_sparse.errors import UserError
from cl_sparse.run.data_check import check_data
from cl_sparse.run.memory import check_memory
from cl_sparse.run.plan import RunPlan, Workplace
from cl_sparse.sweep.plan import SweepPlan
from cl_sparse.sweep.protocol import methods_of
from cl_sparse.sweep.search import search_of
from cl_sparse.sweep.spec import load_sweep


def plan_of(arguments: argparse.Namespace, check_writable: Callable[[Path], None]) -> SweepPlan:
    """Return the plan, checked.

    Raises:
        UserError: anything the user gave cannot work.
    """
    if arguments.file is None:
        raise UserError("sweep: FILE is missing: a sweep's YAML file, or --status DIR")
    sweep = load_sweep(arguments.file)
    methods = methods_of(sweep, load_experiments())
    searches = {method: search_of(sweep, method.name, method.at) for method in methods}
    folder = arguments.results_dir or Path("results") / "sweeps" / sweep.name
    place = Workplace(
        data_root=arguments.data_root,
        results_dir=folder,
        device=arguments.device,
        threads=arguments.threads,
        resume=not arguments.force,
        sweep=True,
    )
    plan = SweepPlan(
        sweep=sweep,
        searches=searches,
        place=place,
        executor=arguments.executor,
        ray_address=arguments.ray_address,
        gpus=arguments.gpus,
        slurm=parse_overrides(arguments.slurm, "--slurm"),
        jobs=arguments.jobs,
        max_hours=arguments.max_hours,
        force=arguments.force,
        quiet=arguments.quiet,
    )
    _check_executor(plan)
    if not arguments.dry_run:
        check_writable(folder)
    configs = tuple(method.at({}) for method in methods)
    for config in configs:
        check_memory(config)
    seeds = tuple(sweep.point_seeds)
    check_data(RunPlan((Selection(sweep.name, configs),), Workplace(arguments.data_root), seeds))
    return plan


def _check_executor(plan: SweepPlan) -> None:
    sweep = plan.sweep
    if plan.executor != "ray":
        for option, given in (("--ray-address", plan.ray_address), ("--gpus", plan.gpus)):
            if given:
                raise UserError(f"{option}: goes with --executor ray, not {plan.executor}")
    if plan.slurm and plan.executor != "slurm":
        raise UserError(f"--slurm: goes with --executor slurm, not {plan.executor}")
    if sweep.scheduler is not None and plan.executor != "ray":
        raise UserError(f"{sweep.file}: scheduler: {sweep.scheduler} is Ray's: choose --executor ray")
    if sweep.scheduler is not None and len(plan.searches) > 1:
        raise UserError(
            f"{sweep.file}: scheduler: {sweep.scheduler} would compare one experiment with another: name one"
        )

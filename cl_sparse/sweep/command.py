"""The options of ``cl-sparse sweep``, and what is made of them. No torch."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cl_sparse.config.experiments import Selection, load_experiments, parse_overrides
from cl_sparse.errors import UserError
from cl_sparse.run.data_check import check_data
from cl_sparse.run.memory import check_memory
from cl_sparse.run.plan import RunPlan, Workplace
from cl_sparse.sweep.plan import SweepPlan
from cl_sparse.sweep.protocol import methods_of
from cl_sparse.sweep.search import search_of
from cl_sparse.sweep.spec import load_sweep

_MOST_HOURS = 10_000.0


def add_options(add: Callable[..., Any]) -> None:
    """Add the options that a sweep has beyond those it shares with ``run``."""
    add("file", nargs="?", type=Path, metavar="FILE", help="the sweep, for example exps/sweeps/tuned_mechanisms.yaml")
    add("--results-dir", type=Path, metavar="DIR", help="the sweep's folder (default: results/sweeps/NAME)")
    executor_help = "what runs trials: Ray Tune, processes on this machine, or Slurm (default: ray)"
    add("--executor", choices=("ray", "local", "slurm"), default="ray", help=executor_help)
    add("--ray-address", metavar="ADDRESS", help="a Ray cluster (default: a Ray on this machine, for --jobs trials)")
    add("--gpus", type=_gpus, default=0.0, metavar="G", help="GPUs of each trial, for Ray; may be a part of one")
    add("--slurm", nargs="+", default=[], metavar="KEY=VALUE", help="options of Slurm, for example partition=long")
    add("--max-hours", type=_hours, metavar="H", help="stop after so many hours; the same command goes on")
    add("--force", action="store_true", help="run finished trials again")
    add("--status", type=Path, metavar="DIR", help="print how far the sweep in this folder is, and do nothing else")


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


def _gpus(text: str) -> float:
    try:
        gpus = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of GPUs is needed") from None
    if not 0 <= gpus <= 64:
        raise argparse.ArgumentTypeError(f"{text} is out of range: from 0 to 64")
    return gpus


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of hours is needed") from None
    if not 0 < hours <= _MOST_HOURS:
        raise argparse.ArgumentTypeError(f"{text} is out of range: above 0, at most {_MOST_HOURS:g}")
    return hours

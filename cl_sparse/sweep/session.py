"""Carries out a sweep: checks it, runs it, and shows what it came to."""

import time
from contextlib import suppress

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.base import Benchmark
from cl_sparse.errors import UserError
from cl_sparse.interrupt import Interruption, last_word, unwinding
from cl_sparse.output import ignore_avalanches_warnings
from cl_sparse.report import accuracy_over_tasks_png, print_table, rows_of
from cl_sparse.results import file_name_of
from cl_sparse.run import build
from cl_sparse.run.alone import prepare_checkpoints
from cl_sparse.run.devices import choose_device, note_slow_precision
from cl_sparse.run.earlier import EarlierResults
from cl_sparse.run.executors.base import Executor
from cl_sparse.run.executors.local import Local
from cl_sparse.run.group import Failures
from cl_sparse.run.one_run import Observer, Run
from cl_sparse.run.progress import RunProgress
from cl_sparse.run.terminal import Terminal, print_whole
from cl_sparse.run.trial import tell_failure
from cl_sparse.sweep import space
from cl_sparse.sweep.command import UNFINISHED
from cl_sparse.sweep.former import FORMER
from cl_sparse.sweep.manifest import Manifest
from cl_sparse.sweep.plan import SweepPlan
from cl_sparse.sweep.runner import OutOfTime, SweepRunner
from cl_sparse.sweep.spec import Sweep
from cl_sparse.sweep.winners import WINNERS, Choice, finalists_said

_HOUR = 3600.0
_MOST_CURVES = 14  # that can be told apart in one picture


def run(plan: SweepPlan, manifest: Manifest) -> int:
    """Carry out a sweep; return the process's exit code.

    It is that of :func:`cl_sparse.run.session.run`, or `UNFINISHED` if the hours given were over first.

    Args:
        plan: what to do, in a folder where no other sweep is at work.
        manifest: the folder's, in which the plan stands already.

    Raises:
        UserError: if anything the user gave cannot work.
    """
    ignore_avalanches_warnings()
    deadline = None if plan.max_hours is None else time.monotonic() + plan.max_hours * _HOUR
    with unwinding():
        try:
            benchmark = _check(plan)
            prepare_checkpoints(plan.place.results_dir)
            return _run(plan, manifest, deadline, benchmark)
        except Interruption as interruption:
            with suppress(UserError):
                line = f"{last_word(interruption)[0]}: the same command goes on where this one stopped"
                manifest.note("end", line=line)
            raise


def _run(plan: SweepPlan, manifest: Manifest, deadline: float | None, benchmark: Benchmark) -> int:
    console, failures, trials = Terminal(), Failures(), sum(plan.trials().values())
    earlier = EarlierResults(plan.place.results_dir, plan.place.data_root, same_code=True)
    former = EarlierResults(plan.place.results_dir / FORMER, plan.place.data_root)
    for line in (*earlier.damaged(), *former.damaged()):
        failures.failed(f"{line}: move it away")
    if failures.exit_code:
        manifest.note("end", line="nothing was run: there are damaged results", exit_code=failures.exit_code)
        return failures.exit_code
    with (
        _executor(plan, benchmark.n_tasks) as executor,
        RunProgress(console, plan.quiet, trials, failures.failed, tasks=False) as progress,
    ):
        window = plan.jobs if plan.sweep.search == "optuna" else plan.jobs + 1
        runner = SweepRunner(
            plan,
            executor,
            None if plan.force else earlier,
            manifest,
            progress,
            failures,
            window,
            deadline,
            benchmark.fingerprint,
        )
        try:
            choices = runner.run()
        except OutOfTime:
            line = f"stopped after {plan.max_hours:g} hours: the same command goes on where this one stopped"
            console.print(line, soft_wrap=True)
            manifest.note("end", line=line, exit_code=UNFINISHED)
            return UNFINISHED
    _show(plan, runner, choices, console)
    manifest.note("end", line="complete", exit_code=failures.exit_code)
    return failures.exit_code


def _executor(plan: SweepPlan, n_tasks: int) -> Executor:
    jobs = min(plan.jobs, sum(plan.trials().values()))
    if plan.executor == "local":
        return Local(plan.place, jobs)
    if plan.executor == "slurm":
        from cl_sparse.run.executors.slurm import Slurm

        return Slurm(plan.place, jobs, plan.slurm)
    from cl_sparse.run.executors.ray_tune import RayTune

    return RayTune(plan.place, jobs, plan.ray_address, plan.gpus, n_tasks if plan.sweep.scheduler else None)


def _check(plan: SweepPlan) -> Benchmark:
    """Build each experiment once, so that what cannot be built is found before the first trial.

    Returns:
        The last one's.
    """
    device = choose_device(plan.place.device)
    torch.set_num_threads(plan.place.threads or 1)
    seed = plan.sweep.point_seeds[0]
    note_slow_precision((method.at({}) for method in plan.searches), device)
    for method in plan.searches:
        config = method.at({})
        benchmark = build.build_benchmark(config, seed, plan.place.data_root)
        Run(config, benchmark, seed, device, Observer())
    return benchmark


def _show(plan: SweepPlan, runner: SweepRunner, choices: list[Choice], console: Console) -> None:
    folder, failed = plan.place.results_dir, runner.failures.failed
    if choices:
        _print_choices(plan.sweep, choices, console)
        console.print(f"chosen experiments, for exps/: {folder / WINNERS}", soft_wrap=True)
    rows = rows_of(runner.results)
    print_table(rows, console)
    figure, drawn = folder / f"{file_name_of(plan.sweep.name)}_accuracy.png", False
    if 0 < len(rows) <= _MOST_CURVES:
        drawn = tell_failure(failed, lambda: accuracy_over_tasks_png(runner.results, figure, plan.sweep.name))
    console.print(f"results in {folder}/{f', the comparison in {figure}' if drawn else ''}", soft_wrap=True)


def _print_choices(sweep: Sweep, choices: list[Choice], console: Console) -> None:
    assert sweep.select is not None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("experiment", "chosen", f"{sweep.select.metric}, validation", "runner-up", "points", "searched"):
        table.add_column(head, overflow="fold")
    for choice in choices:
        second = f"{choice.second[1]:.4f}" if choice.second else "–"
        chosen = ", ".join(f"{key}={value}" for key, value in choice.point.items()) or "as it is"
        points = f"{choice.points}{f' ({choice.failed} without result)' if choice.failed else ''}"
        table.add_row(choice.experiment, chosen, f"{choice.value:.4f}", second, points, space.said(choice.searched))
    if console.is_terminal:
        console.print(table)  # which folds what is too wide
    else:
        print_whole(table, console)
    seeds = ", ".join(map(str, sweep.select.seeds))
    raced = finalists_said(sweep.select)
    line = f"mean over seeds {seeds}, on validation data{raced}; below: the chosen ones on test data"
    console.print(line, soft_wrap=True)

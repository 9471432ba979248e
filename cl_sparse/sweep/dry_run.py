"""What a sweep would do: how many trials, where, and for how long."""

import torch
from rich import box
from rich.table import Table

from cl_sparse.output import ignore_avalanches_warnings
from cl_sparse.run.devices import choose_device
from cl_sparse.run.dry_run import print_estimates
from cl_sparse.run.terminal import Terminal, print_whole
from cl_sparse.sweep.plan import SweepPlan


def print_plan(plan: SweepPlan) -> None:
    """Print the trials of each experiment, the folder, and the hours they would take one after another.

    Finished ones count as well. Each experiment is timed at its own settings: other points may take longer.

    Raises:
        UserError: an experiment cannot be built or timed.
    """
    ignore_avalanches_warnings()
    torch.set_num_threads(plan.place.threads or 1)
    console, trials = Terminal(), plan.trials()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("experiment", "points", "seeds of each", "seeds of the chosen one", "trials"):
        table.add_column(head, justify="left" if head == "experiment" else "right")
    reported = len(plan.sweep.report.seeds) if plan.sweep.report is not None else 0
    select = plan.sweep.select
    seeds = str(len(plan.sweep.point_seeds))
    if select is not None and select.finalists is not None:
        seeds = f"{len(plan.sweep.first_seeds)}, {seeds} of the {select.finalists} best"
    for method, search in plan.searches.items():
        table.add_row(method.name, str(search.n_points), seeds, str(reported), str(trials[method.name]))
    print_whole(table, console)
    console.print(f"results would go to {plan.place.results_dir}/", soft_wrap=True)
    configs = [(method.at({}), trials[method.name]) for method in plan.searches]
    print_estimates(configs, plan.place.data_root, choose_device(plan.place.device), console, runs="trials")

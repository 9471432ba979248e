"""How far a sweep is, told from its folder, while it runs or afterwards."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from statistics import fmean

from rich import box
from rich.table import Table

from cl_sparse.errors import one_line
from cl_sparse.run.terminal import Terminal, print_whole
from cl_sparse.sweep.manifest import Progress, State, read_progress

_ENDED = ("finished", "stopped", "failed", "stopped early")


def print_status(folder: Path) -> None:
    """Print a line per experiment, a line per trial under way, and the time left.

    Raises:
        UserError: the folder is not a sweep's.
    """
    progress, console = read_progress(folder), Terminal()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("experiment", *_ENDED, "under way", "of", "best mean so far"):
        table.add_column(head, justify="left" if head == "experiment" else "right")
    planned = progress.plan.planned
    for experiment, trials in planned.items():
        states = [state for state in progress.states.values() if state.experiment == experiment]
        numbers = [sum(state.event == event for state in states) for event in _ENDED]
        begun = sum(state.event == "begun" for state in states)
        numbers.append(0 if progress.ended else begun)
        table.add_row(one_line(experiment), *map(str, numbers), str(trials), _best(states))
    print_whole(table, console)
    for state in progress.states.values():
        if state.event == "begun" and progress.ended is None:
            values = " ".join(f"{key}={value}" for key, value in state.values.items())
            trial = f"{state.experiment} {values} seed {state.seed}"
            console.print(one_line(f"under way since {state.time}: {trial}"), soft_wrap=True)
    last = progress.ended.line if progress.ended else _left(progress, sum(planned.values()))
    console.print(one_line(last), soft_wrap=True)


def _best(states: Iterable[State]) -> str:
    """Return the highest mean worth of a point while points are compared, over the seeds finished so far."""
    worths: dict[int, list[float]] = {}
    for state in states:
        if state.event == "finished" and state.phase == "try":
            worths.setdefault(state.point, []).append(state.worth)
    return f"{max(map(fmean, worths.values())):.4f}" if worths else "–"


def _left(progress: Progress, planned: int) -> str:
    states = progress.states.values()
    seconds = [state.seconds for state in states if state.event == "finished"]
    left = planned - sum(state.event in _ENDED for state in states)
    guess = f", about {left * sum(seconds) / len(seconds) / progress.plan.jobs / 60:.1f} minutes" if seconds else ""
    last = max((state.time for state in states), default=progress.plan.time)
    now = datetime.now().isoformat(timespec="seconds")
    return f"{left} of {planned} trials left{guess}; last heard of at {last}, it is {now}"

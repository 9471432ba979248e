"""How far a sweep is, told from its folder, while it runs or afterwards."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from cl_sparse.run.terminal import Terminal, print_whole
from cl_sparse.sweep.manifest import Progress, read_progress

_ENDED = ("finished", "stopped", "failed", "stopped early")


def print_status(folder: Path) -> None:
    """Print a line per experiment, a line per trial under way, and the time left.

    Raises:
        UserError: the folder is not a sweep's.
    """
    progress, console = read_progress(folder), Terminal()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("experiment", *_ENDED, "under way", "of", "best so far"):
        table.add_column(head, justify="left" if head == "experiment" else "right")
    planned = progress.plan.get("planned") or {}
    for experiment, trials in planned.items():
        states = [facts for facts in progress.states.values() if facts.get("experiment") == experiment]
        numbers = [sum(facts["event"] == event for facts in states) for event in (*_ENDED, "begun")]
        table.add_row(experiment, *map(str, numbers), str(trials), _best(states))
    print_whole(table, console)
    for facts in progress.states.values():
        if facts["event"] == "begun" and progress.ended is None:
            values = " ".join(f"{key}={value}" for key, value in (facts.get("values") or {}).items())
            console.print(
                f"under way since {facts.get('time')}: {facts.get('experiment')} {values} seed {facts['seed']}"
            )
    console.print(progress.ended["line"] if progress.ended else _left(progress, sum(planned.values())), soft_wrap=True)


def _best(states: Iterable[dict[str, Any]]) -> str:
    """Return the highest worth of a single trial while points are compared."""
    worths = [facts["worth"] for facts in states if facts["event"] == "finished" and facts.get("phase") == "try"]
    return f"{max(worths):.4f}" if worths else "–"


def _left(progress: Progress, planned: int) -> str:
    seconds = [float(facts["seconds"]) for facts in progress.states.values() if facts["event"] == "finished"]
    left = planned - sum(facts["event"] in _ENDED for facts in progress.states.values())
    jobs = progress.plan.get("jobs") or 1
    guess = f", about {left * sum(seconds) / len(seconds) / jobs / 60:.1f} minutes" if seconds else ""
    last = max((facts["time"] for facts in progress.states.values()), default=progress.plan.get("time"))
    now = datetime.now().isoformat(timespec="seconds")
    return f"{left} of {planned} trials left{guess}; last heard of at {last}, it is {now}"

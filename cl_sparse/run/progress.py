"""The progress bar, and the line per finished task."""

from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.base import Benchmark
from cl_sparse.config import ExperimentConfig
from cl_sparse.run.methods import strategy_of
from cl_sparse.run.record import Record


def planned_steps(config: ExperimentConfig, benchmark: Benchmark) -> int:
    """Return how many optimizer steps a run will take."""
    sizes = [len(experience.dataset) for experience in benchmark.train_stream]
    strategy = strategy_of(config)
    unions = any(plugin["name"] in ("cumulative", "joint") for plugin in (*strategy.plugins, *config.plugins))
    if unions:
        sizes = np.cumsum(sizes).tolist()
    if strategy.trains_once:
        sizes = sizes[-1:]
    return sum(config.epochs(i) * -(-size // config.mb_size) for i, size in enumerate(sizes))


class RunProgress:
    """A bar with the time left for the run under way, and a printed line per task."""

    def __init__(self, console: Console, quiet: bool) -> None:
        """Show on ``console``: nothing if ``quiet``, lines but no bar if it is no terminal."""
        self.console = console
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._name = ""
        self._task: TaskID | None = None

    def __enter__(self) -> "RunProgress":
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def begin(self, name: str, steps: int) -> None:
        """Start the bar of one run."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._name = name
        self._task = self._bar.add_task(name, total=steps)

    def advance(self, steps: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.advance(self._task, steps)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if not self._quiet:
            self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    def resumed(self, tasks: int, steps: int, same_code: bool) -> None:
        """Say that the run goes on after ``tasks`` finished ones, and whether the code that trained them was this."""
        by = "" if same_code else ", some by other code (code_hashes in the result says which)"
        self.say(f"{self._name}: {tasks} tasks are done{by}, going on")
        self.advance(steps)

    def task_done(self, task: int, record: Record) -> None:
        """Print the finished task's line."""
        row = np.array(record.accs[task])
        known = row[: task + 1][~np.isnan(row[: task + 1])]
        self.say(
            f"{self._name}  task {task + 1}/{len(row)}  accuracy on it {row[task]:.3f}, mean of tasks so far "
            f"{known.mean():.3f}  ({record.train_seconds[-1]:.1f} s training, {record.eval_seconds[-1]:.1f} s testing)"
        )

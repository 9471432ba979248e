"""The progress display: a bar for each trial under way, one for all of them, and a line per finished task."""

from collections.abc import Callable
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


def task_line(title: str, task: int, record: Record) -> str:
    """Return what to say of a task just finished."""
    row = np.array(record.accs[task])
    known = row[: task + 1][~np.isnan(row[: task + 1])]
    return (
        f"{title}  task {task + 1}/{len(row)}  accuracy on it {row[task]:.3f}, mean of tasks so far "
        f"{known.mean():.3f}  ({record.train_seconds[-1]:.1f} s training, {record.eval_seconds[-1]:.1f} s testing)"
    )


def resumed_line(title: str, tasks: int, *, same_code: bool) -> str:
    """Return what to say of a run that goes on after ``tasks`` finished ones, trained by this code or by other."""
    by = "" if same_code else ", some by other code (code_hashes in the result says which)"
    return f"{title}: {tasks} tasks are done{by}, going on"


class RunProgress:
    """What a session shows while trials run: nothing if quiet, lines but no bars if the console is no terminal.

    Args:
        console: where.
        quiet: show nothing.
        trials: how many there will be.
        complain: told what failed and costs no result.
        tasks: show a line per finished task.
    """

    def __init__(
        self, console: Console, quiet: bool, trials: int, complain: Callable[[str], None], *, tasks: bool = True
    ) -> None:
        """Show nothing yet."""
        self.console, self.complain, self.tasks = console, complain, tasks
        self._quiet, self._trials = quiet, trials
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._all: TaskID | None = None

    def __enter__(self) -> "RunProgress":
        """Show the bars."""
        self.bars.start()
        if self._trials > 1:
            self._all = self.bars.add_task(f"all {self._trials} runs", total=self._trials)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bars away."""
        self.bars.stop()

    def watch(self, title: str) -> "TrialBar":
        """Return who shows one trial."""
        return TrialBar(self, title)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        if not self._quiet:
            self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    def advance_all(self, share: float) -> None:
        """Move the bar of all trials by a share of one."""
        if self._all is not None:
            self.bars.advance(self._all, share)


class TrialBar:
    """One trial's bar; it is there while the trial is under way."""

    def __init__(self, progress: RunProgress, title: str) -> None:
        """Show nothing yet."""
        self._progress, self._title = progress, title
        self._bar: TaskID | None = None
        self._steps, self._done = 0, 0

    def begin(self, steps: int) -> None:
        """Show the bar, from its start."""
        self._take_away()
        self._progress.advance_all(-self._share)  # a second try
        self._steps, self._done = steps, 0
        self._bar = self._progress.bars.add_task(self._title, total=steps)

    def advance(self, steps: int) -> None:
        """Move the bar."""
        before = self._share
        self._done += steps
        if self._bar is not None:
            self._progress.bars.advance(self._bar, steps)
        self._progress.advance_all(self._share - before)

    def task_done(self, line: str, _: float) -> None:
        """Print a finished task's line."""
        if self._progress.tasks:
            self._progress.say(line)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._progress.say(line)

    def complain(self, line: str) -> None:
        """Say what failed that the result stands without."""
        self._progress.complain(line)

    def end(self) -> None:
        """Take the bar away; the trial has come to its end, whatever it was."""
        self._take_away()
        self._progress.advance_all(1 - self._share)

    @property
    def _share(self) -> float:
        return min(1.0, self._done / self._steps) if self._steps else 0.0

    def _take_away(self) -> None:
        if self._bar is not None:
            self._progress.bars.remove_task(self._bar)
            self._bar = None

"""Has the trials of groups run, and shows what came out."""

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from cl_sparse.errors import UserError
from cl_sparse.report import Result, accuracy_over_tasks_png, print_table, rows_of, slim
from cl_sparse.results import file_name_of, load_result, timestamp
from cl_sparse.run.earlier import Earlier, OtherData
from cl_sparse.run.executors.base import Executor
from cl_sparse.run.plan import RunPlan
from cl_sparse.run.progress import RunProgress, TrialBar
from cl_sparse.run.terminal import Terminal
from cl_sparse.run.trial import Trial, stand_in, tell_failure

_STOPPED, _FAILED = 1, 2


@dataclass(frozen=True)
class Job:
    """A trial, and what an earlier command left of it."""

    trial: Trial
    earlier: Earlier | OtherData | None = None

    @property
    def finished(self) -> Earlier | None:
        """The result that stands for it."""
        return self.earlier if isinstance(self.earlier, Earlier) else None


class Failures:
    """Says on standard error what failed, and keeps the exit code that it makes.

    Attributes:
        exit_code: 0, 1 if a run's loss stopped being a number, 2 if anything else came to nothing.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.exit_code = 0

    def stopped(self, line: str) -> None:
        """Say which run stopped, and why."""
        self._say(line, _STOPPED)

    def failed(self, line: str) -> None:
        """Say what came to nothing, and why."""
        self._say(line, _FAILED)

    def _say(self, line: str, code: int) -> None:
        one_line = " ".join(line.split())
        Terminal(stderr=True).print(f"error: {one_line}", soft_wrap=True, highlight=False)
        self.exit_code = max(self.exit_code, code)


class GroupRunner:
    """Has groups of jobs run. What two groups share runs once; a job that fails costs no other one anything.

    Args:
        plan: the command's.
        console: where tables go.
        progress: where progress goes.
        failures: where failures go.
        executor: what runs the trials.
    """

    def __init__(
        self, plan: RunPlan, console: Console, progress: RunProgress, failures: Failures, executor: Executor
    ) -> None:
        """Run nothing yet."""
        self.plan, self.console, self.progress, self.failures = plan, console, progress, failures
        self.executor = executor
        self._pending: dict[str, tuple[Future[Path], TrialBar]] = {}  # by title
        self._done: dict[str, Result | None] = {}  # None: it failed

    def run(self, groups: dict[str, list[Job]]) -> None:
        """Run the jobs of all groups; as a group is complete, print its table and draw its figure."""
        every = [job for jobs in groups.values() for job in jobs]
        for job in every:
            if job.trial.config.widths_from is None:
                self._submit(job)
        for job in every:
            if job.trial.config.widths_from is not None:
                self._wait_for_widths(job, every)
                self._submit(job)
        for title, jobs in groups.items():
            outcomes = [self._outcome(job) for job in jobs]
            results = [outcome for outcome in outcomes if outcome is not None]
            if results:
                self._show(title, results)

    def _submit(self, job: Job) -> None:
        if job.finished is None and job.trial.title not in self._pending:
            bar = self.progress.watch(job.trial.title)
            self._pending[job.trial.title] = self.executor.submit(job.trial, bar), bar

    def _wait_for_widths(self, job: Job, every: list[Job]) -> None:
        """Wait for the run, if it is among the jobs, that says how wide the job's net begins."""
        wanted = job.trial.config.widths_from, job.trial.seed
        for other in every:
            if (other.trial.config.name, other.trial.seed) == wanted and other.trial.config.widths_from is None:
                self._outcome(other)

    def _outcome(self, job: Job) -> Result | None:
        """Return the job's result, or None, having said why there is none."""
        title = job.trial.title
        if title not in self._done:
            self._done[title] = self._wait(job)
        return self._done[title]

    def _wait(self, job: Job) -> Result | None:
        title = job.trial.title
        if job.earlier is not None:
            self.progress.say(f"{title}: {job.earlier.line}")
        try:
            result = self._result(job)
        except UserError as error:
            self.failures.failed(f"{title}: {error}")
            return None
        stopped = result[1].get("stopped")
        if stopped is not None:
            self.failures.stopped(f"{title} stopped: {stopped}")
        return result

    def _result(self, job: Job) -> Result:
        if job.finished is not None:
            stand_in(job.trial, self.plan.place, job.finished, self.failures.failed)
            return job.finished.result
        pending, bar = self._pending.pop(job.trial.title)
        try:
            config, stats = load_result(pending.result())
        finally:
            bar.end()
        return config, slim(stats)

    def _show(self, title: str, results: list[Result]) -> None:
        folder = self.plan.place.results_dir
        print_table(rows_of(results), self.console)
        figure = folder / f"{file_name_of(title)}_{timestamp(datetime.now())}_accuracy.png"
        drawn = tell_failure(self.failures.failed, lambda: accuracy_over_tasks_png(results, figure, title))
        line = f"results and pictures in {folder}/{f', the comparison in {figure}' if drawn else ''}"
        self.console.print(line, soft_wrap=True)

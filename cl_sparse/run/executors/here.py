"""Runs trials in this process, each when its result is asked for."""

from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from cl_sparse.run.earlier import EarlierResults
from cl_sparse.run.plan import Workplace
from cl_sparse.run.trial import Trial, Watch, run_trial


class Here:
    """The executor without processes: one trial after the other.

    Args:
        place: where they run.
        earlier: what was in the results folder.
    """

    def __init__(self, place: Workplace, earlier: EarlierResults) -> None:
        """Run nothing yet."""
        self._place, self._earlier = place, earlier

    def submit(self, trial: Trial, watch: Watch) -> Future[Path]:
        """Remember the trial."""
        return _Lazy(self, trial, watch)

    def run(self, trial: Trial, watch: Watch) -> Path:
        """Run a trial; return the path of its result."""
        return run_trial(trial, self._place, self._earlier, watch)

    def __enter__(self) -> "Here":
        """Do nothing: this process is ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: nothing is under way."""


class _Lazy(Future[Path]):
    """A trial that runs when its result is asked for."""

    def __init__(self, executor: Here, trial: Trial, watch: Watch) -> None:
        super().__init__()
        self._executor, self._trial, self._watch = executor, trial, watch

    def result(self, timeout: float | None = None) -> Path:  # noqa: ARG002 (as its base)
        """Run it."""
        return self._executor.run(self._trial, self._watch)

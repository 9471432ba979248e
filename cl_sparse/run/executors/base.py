"""The one seam between what asks for trials and what runs them."""

from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from cl_sparse.errors import UserError
from cl_sparse.run.checkpoint import one_before
from cl_sparse.run.trial import Trial, Watch

TRIES = 3  # of a trial whose process is killed


class StoppedEarlyError(UserError):
    """A scheduler has stopped the trial, for others are better."""


def stamp(checkpoint: Path) -> tuple[int, int] | None:
    """Return what differs when another checkpoint has been saved; None if there is none."""
    for path in (checkpoint, one_before(checkpoint)):
        with suppress(OSError):
            status = path.stat()
            return status.st_ino, status.st_mtime_ns
    return None


class Executor(Protocol):
    """Runs trials. To be left as a context, which ends what is still under way."""

    def submit(self, trial: Trial, watch: Watch) -> "Future[Path]":
        """Take a trial; return at once what will give the path of its result, or raise UserError if it has none.

        It is running, and no longer pending, once somebody is at the trial.
        """

    def __enter__(self) -> Self:
        """Be ready for trials."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything that is under way."""

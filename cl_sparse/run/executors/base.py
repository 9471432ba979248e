"""The one seam between what asks for trials and what runs them."""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from cl_sparse.run.trial import Trial, Watch


class Pending(Protocol):
    """A trial that was submitted; ``concurrent.futures.Future`` is one."""

    def result(self) -> Path:
        """Wait for the trial; return the path of its result file.

        Raises:
            UserError: if it came to nothing.
        """


class Executor(Protocol):
    """Runs trials. To be left as a context, which ends what is still under way."""

    def submit(self, trial: Trial, watch: Watch) -> Pending:
        """Take a trial; return at once."""

    def __enter__(self) -> Self:
        """Be ready for trials."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything that is under way."""

"""Where a session prints: text as it is, and one line where there is no room for it."""

from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from cl_sparse.output import writing


class Terminal(Console):
    """A console to which names and paths are text, whatever brackets and colons they hold."""

    def __init__(self, *, stderr: bool = False) -> None:
        """Print to standard output, or to standard error."""
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does.

        Raises:
            UserError: the disk that the output goes to is full.
            BrokenPipeError: nobody reads any more.
        """
        with writing():
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which knows the exit code: rich would end the process with 1."""
        raise BrokenPipeError


def print_whole(table: Table, console: Console) -> None:
    """Print a table of which nothing is cut, in a narrow terminal or a pipe."""
    table.width = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    console.print(table, crop=False)

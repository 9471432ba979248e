"""Standard output, which may be closed, full, or read by nobody any more."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from cl_sparse.errors import UserError


@contextmanager
def writing() -> Iterator[None]:
    """Print inside.

    Raises:
        UserError: the disk that the output goes to is full.
        BrokenPipeError: nobody reads any more.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"standard output: cannot be written to ({error.strerror})") from error


def drop_unwritten() -> None:
    """Drop what cannot be printed: the interpreter would try once more at its end, and complain."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def ignore_avalanches_warnings() -> None:
    """Say nothing of Avalanche's own metrics and loggers being off: ours are in use instead."""
    warnings.filterwarnings("ignore", module=r"avalanche\..*")

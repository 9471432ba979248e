"""The program's entry: it answers Ctrl-C in one line from its first moment on, while everything else is imported."""

import signal
import sys
from collections.abc import Sequence

from cl_sparse.interrupt import end_at_once


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line as a process of its own; see :func:`cl_sparse.cli.main`."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores it, and goes on to
        signal.signal(signal.SIGINT, end_at_once)
    from cl_sparse.cli import main as command

    return command(argv)


if __name__ == "__main__":
    sys.exit(main())

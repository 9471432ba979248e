"""The program's entry: it answers signals in one line from its first moment on, while everything else is imported."""

import sys
from collections.abc import Sequence

from cl_sparse.interrupt import answer_signals


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line as a process of its own; see :func:`cl_sparse.cli.main`."""
    answer_signals()
    from cl_sparse.cli import main as command

    return command(argv)


if __name__ == "__main__":
    sys.exit(main())

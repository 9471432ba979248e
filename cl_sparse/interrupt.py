"""What Ctrl-C does: it ends the program at once while nothing is under way, and tidily while runs are."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130


def end_at_once(*_: object) -> None:
    """End the process with one line, whatever it is doing. All files are whole at every moment."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def _unwind(_: int, __: FrameType | None) -> None:
    signal.signal(signal.SIGINT, end_at_once)  # a second one does not wait for the first
    raise KeyboardInterrupt


@contextmanager
def unwinding() -> Iterator[None]:
    """Raise KeyboardInterrupt at Ctrl-C inside, in a process whose Ctrl-C is :func:`end_at_once` before.

    Once it has come through nothing but the exit is left, and a further Ctrl-C is ignored.
    """
    if signal.getsignal(signal.SIGINT) is not end_at_once:
        yield
        return
    signal.signal(signal.SIGINT, _unwind)
    afterwards: signal.Handlers | Callable[..., object] = end_at_once
    try:
        yield
    except KeyboardInterrupt:
        afterwards = signal.SIG_IGN
        raise
    finally:
        signal.signal(signal.SIGINT, afterwards)

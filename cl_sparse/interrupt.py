"""What Ctrl-C and SIGTERM do: they end the program at once while nothing is under way, and tidily while runs are."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_UNTOUCHED = (signal.default_int_handler, signal.SIG_DFL)  # a background job ignores Ctrl-C, and goes on to


class Interruption(KeyboardInterrupt):
    """One of the two signals, while runs are under way."""

    def __init__(self, number: int) -> None:
        """Remember which."""
        super().__init__()
        self.number = number


def end_at_once(number: int, _: FrameType | None = None) -> None:
    """End the process with one line, whatever it is doing. All files are whole at every moment."""
    os.write(2, f"{_WORDS[signal.Signals(number)]}\n".encode())
    os._exit(exit_code(number))


def exit_code(number: int) -> int:
    """Return what a shell reports of a program that a signal ended."""
    return 128 + number


def answer_signals() -> None:
    """Let the signals end the process at once, unless whoever started it wants them ignored."""
    for number in _WORDS:
        if signal.getsignal(number) in _UNTOUCHED:
            signal.signal(number, end_at_once)


def last_word(interruption: KeyboardInterrupt) -> tuple[str, int]:
    """Return what to say of an interruption, and the exit code."""
    number = interruption.number if isinstance(interruption, Interruption) else signal.SIGINT
    return _WORDS[signal.Signals(number)], exit_code(number)


def _unwind(number: int, _: FrameType | None) -> None:
    signal.signal(number, end_at_once)  # a second one does not wait for the first
    raise Interruption(number)


@contextmanager
def unwinding() -> Iterator[None]:
    """Raise `Interruption` at a signal inside, in a process whose signals are answered by :func:`end_at_once` before.

    Once it has come through nothing but the exit is left, and a further signal is ignored.
    """
    answered = [number for number in _WORDS if signal.getsignal(number) is end_at_once]
    for number in answered:
        signal.signal(number, _unwind)
    afterwards: signal.Handlers | Callable[..., object] = end_at_once
    try:
        yield
    except KeyboardInterrupt:
        afterwards = signal.SIG_IGN
        raise
    finally:
        for number in answered:
            signal.signal(number, afterwards)

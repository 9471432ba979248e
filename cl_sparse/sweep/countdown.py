"""Which trial of how many has come to its end, and how long the others may take."""

import time

_MINUTES = 100.0  # seconds from which on minutes are said


class Countdown:
    """Counts the trials of a sweep as they end.

    Args:
        trials: how many there are.
    """

    def __init__(self, trials: int) -> None:
        """Count none yet, and start the clock."""
        self._trials, self._ended, self._ran = trials, 0, 0
        self._start = time.monotonic()

    def count(self, *, ran: bool) -> str:
        """Count a trial; return which it is: "3/8", "3/8, 20 minutes left" once one has run.

        Args:
            ran: it took its time; else something earlier stands for it.
        """
        self._ended += 1
        self._ran += ran
        place, left = f"{self._ended}/{self._trials}", self._trials - self._ended
        if not self._ran or left <= 0:
            return place
        seconds = (time.monotonic() - self._start) / self._ran * left
        return f"{place}, {f'{seconds:.0f} s' if seconds < _MINUTES else f'{seconds / 60:.0f} minutes'} left"

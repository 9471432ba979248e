"""When synapses move, how many of them, and when a layer has done."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """When synapses move.

    Args:
        every: optimizer steps from one change to the next; None: between epochs; "task": when a later task begins.
        begin, until: shares of a task's steps, or epochs, from which and up to which they move.
        annealed: whether the shares that go fall with the cosine of the time that has gone by, to 0 at ``until``.
        stop_below: mean survival below which a layer stops changing; None: none does.
        window: changes over which that is judged.

    Raises:
        ValueError: a number is out of range.
    """

    every: int | Literal["task"] | None = None
    begin: float = 0.0
    until: float = 1.0
    annealed: bool = False
    stop_below: float | None = None
    window: int = 6

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.until <= 1:
            raise ValueError(f"until must be from 0 to 1, begin from 0 to until, not {self.until} and {self.begin}")
        if not (self.every in (None, "task") or (isinstance(self.every, int) and self.every >= 1)):
            raise ValueError(f"every must be at least 1 step, task, or None for between epochs, not {self.every!r}")
        if self.every == "task" and (self.begin > 0 or self.until < 1 or self.annealed):
            raise ValueError(
                "begin, until and annealed are about a task's time: none of them goes with moves between tasks"
            )
        if self.window < 1 or not 0 <= (self.stop_below or 0.0) <= 1:
            raise ValueError(
                f"window must be at least 1, stop_below from 0 to 1, not {self.window} and {self.stop_below}"
            )

    def factor(self, gone_by: float) -> float:
        """Return what the shares are multiplied by when this share of a task's time has gone by: 0 where none moves."""
        if not self.begin <= gone_by <= self.until or self.until == 0:
            return 0.0
        return 0.5 * (1 + math.cos(math.pi * gone_by / self.until)) if self.annealed else 1.0

    def done(self, survived: Iterable[float]) -> bool:
        """Return whether a layer is to change no more.

        Numenta's ``pruning_es`` (.02, a window of 6) divides the sum of the survivals by 6 also while there are fewer,
        takes their mean over all layers but the last, and stops them all at once.

        Args:
            survived: at each change so far, the share of what grew at the change before that was still there; NaN where
                nothing had grown.
        """
        recent = [share for share in survived if not math.isnan(share)][-self.window :]
        return (
            self.stop_below is not None and len(recent) == self.window and sum(recent) / self.window < self.stop_below
        )

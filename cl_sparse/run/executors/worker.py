"""A worker: a process that runs the trials it is sent, and tells the process that started it how they go."""

import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from cl_sparse.data.datasets import LoadedData, take_loaded
from cl_sparse.errors import UserError
from cl_sparse.output import ignore_avalanches_warnings
from cl_sparse.run.earlier import EarlierResults
from cl_sparse.run.plan import Workplace
from cl_sparse.run.trial import Trial, run_trial

TERMINATED = 143
_EVERY = 0.1  # seconds between two messages about steps


@dataclass(frozen=True)
class End:
    """The last message about a trial: its result's path, or why there is none."""

    path: Path | None = None
    error: Exception | None = None


class PipeWatch:
    """Tells another process, through a pipe, how a trial goes; of its steps not more often than can be seen."""

    def __init__(self, pipe: Connection) -> None:
        """Tell nothing yet."""
        self._pipe = pipe
        self._steps = 0
        self._told = 0.0

    def begin(self, steps: int) -> None:
        """Tell the number of steps."""
        self._tell("begin", steps)

    def advance(self, steps: int) -> None:
        """Tell of steps done, or wait for more."""
        self._steps += steps
        if time.monotonic() - self._told >= _EVERY:
            self._tell_steps()

    def task_done(self, line: str, accuracy: float) -> None:
        """Tell of a task."""
        self._tell_steps()
        self._tell("task_done", line, accuracy)

    def say(self, line: str) -> None:
        """Tell what happened."""
        self._tell_steps()
        self._tell("say", line)

    def complain(self, line: str) -> None:
        """Tell what failed."""
        self._tell("complain", line)

    def _tell_steps(self) -> None:
        self._told = time.monotonic()
        self._tell("advance", self._steps)
        self._steps = 0

    def _tell(self, *what: Any) -> None:
        self._pipe.send(what)


def work(pipe: Connection, place: Workplace, data: LoadedData) -> None:
    """Run trials until the pipe is closed. Ctrl-C is the starting process's affair; when it is gone, so is this one.

    Args:
        pipe: gives (trial, whether to resume it), takes calls of a `Watch` and an `End`.
        place: where.
        data: data sets in memory that all processes share.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ignore_avalanches_warnings()
    torch.set_num_threads(place.threads or 1)
    take_loaded(data)
    earlier = EarlierResults(place.results_dir, place.data_root, same_code=place.sweep)
    while True:
        try:
            trial, resume = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(trial, replace(place, resume=resume), earlier, pipe))


def _outcome(trial: Trial, place: Workplace, earlier: EarlierResults, pipe: Connection) -> End:
    try:
        return End(path=run_trial(trial, place, earlier, PipeWatch(pipe)))
    except UserError as error:
        return End(error=error)
    except Exception:  # a fault of ours: as readable there as here
        return End(error=RuntimeError(f"{trial.title}, in its process:\n{traceback.format_exc()}"))


def _end(*_: object) -> None:
    sys.exit(TERMINATED)  # unwinds: locks and half-written files go


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(TERMINATED)
